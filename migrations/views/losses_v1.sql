-- Every number that was measured of a version: losses that volunteers reported of their own samples (`loss...`), and what
-- the coordinator measured on samples that nobody trains with. 'NaN' where it was no number.
CREATE VIEW watch.losses AS
SELECT r.name AS run, m.version, m.name, m.value, m.at
  FROM ledger.metrics m JOIN ledger.runs r ON r.id = m.run_id;
