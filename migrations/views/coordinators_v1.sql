-- Who leads each run, and since when. Without a leader nothing is handed out or merged: workers wait.
CREATE VIEW watch.coordinators AS
SELECT r.name AS run, l.host, l.elected_at, coalesce(l.expires_at > now(), false) AS is_leading
  FROM ledger.runs r LEFT JOIN ledger.leaders l ON l.run_id = r.id;
