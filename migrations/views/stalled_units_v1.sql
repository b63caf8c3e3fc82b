-- Units that are leased and do not look as if anybody were computing them, each with the first reason that holds. Nobody
-- needs to do anything: the lease ends, and another worker computes the unit.
CREATE VIEW watch.stalled_units AS
SELECT r.name AS run, u.id AS unit, u.attempt, v.name AS volunteer, u.worker_id AS worker, w.name AS worker_name,
       u.leased_at, u.lease_expires_at, extract(epoch FROM now() - u.leased_at)::double precision AS seconds_leased,
       h.at AS last_seen_at, extract(epoch FROM now() - h.at)::double precision AS seconds_silent, y.why
  FROM ledger.work_units u
  JOIN ledger.runs r ON r.id = u.run_id
  LEFT JOIN ledger.workers w ON w.id = u.worker_id
  LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
  LEFT JOIN ledger.heartbeats h ON h.worker_id = u.worker_id
  CROSS JOIN LATERAL (
      SELECT CASE
          WHEN w.left_at IS NOT NULL THEN 'its worker has left'
          WHEN h.at < now() - make_interval(secs => 3 * r.heartbeat_seconds)
              THEN 'its worker is silent: three heartbeats are missing'
          WHEN u.leased_at < now() - make_interval(secs => r.max_lease_seconds)
              THEN 'its worker has had it for as long as a unit may take'
          -- The answer to the claim was lost on the way, or the worker has forgotten it.
          WHEN u.id <> ALL (h.unit_ids) AND u.leased_at < now() - make_interval(secs => 3 * r.heartbeat_seconds)
              THEN 'its worker is here and does not speak of it'
          WHEN u.lease_expires_at < now() AND coalesce(h.leases_until < now(), true) THEN 'its lease is over'
      END AS why) y
 WHERE u.state = 'leased' AND y.why IS NOT NULL;
