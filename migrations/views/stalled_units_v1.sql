-- Units that are leased and do not look as if anybody were computing them, each with the first reason that holds. Nobody
-- needs to do anything: the lease ends, and another worker computes the unit.
CREATE VIEW watch.stalled_units AS
SELECT r.name AS run, l.unit, l.attempt, v.name AS volunteer, l.worker, l.worker_name, l.leased_at, l.lease_expires_at,
       extract(epoch FROM now() - l.leased_at)::double precision AS seconds_leased, l.last_seen_at,
       extract(epoch FROM now() - l.last_seen_at)::double precision AS seconds_silent, y.why
  FROM (SELECT u.run_id, u.id AS unit, u.attempt, u.worker_id AS worker, w.volunteer_id, w.name AS worker_name,
               w.left_at, u.leased_at, u.lease_expires_at, h.at AS last_seen_at, h.unit_ids, h.leases_until
          FROM ledger.work_units u
          LEFT JOIN ledger.workers w ON w.id = u.worker_id
          LEFT JOIN ledger.heartbeats h ON h.worker_id = u.worker_id
         WHERE u.state = 'leased'
        -- Few leases stall, which PostgreSQL cannot know: for the first page of an order it would sort all leases and then
        -- look for their workers one by one. So this part is planned by itself.
        OFFSET 0) l
  JOIN ledger.runs r ON r.id = l.run_id
  LEFT JOIN ledger.volunteers v ON v.id = l.volunteer_id
  CROSS JOIN LATERAL (
      SELECT CASE
          WHEN l.left_at IS NOT NULL THEN 'its worker has left'
          WHEN l.last_seen_at < now() - make_interval(secs => 3 * r.heartbeat_seconds)
              THEN 'its worker is silent: three heartbeats are missing'
          WHEN l.leased_at < now() - make_interval(secs => r.max_lease_seconds)
              THEN 'its worker has had it for as long as a unit may take'
          -- The answer to the claim was lost on the way, or the worker has forgotten it.
          WHEN l.unit <> ALL (l.unit_ids) AND l.leased_at < now() - make_interval(secs => 3 * r.heartbeat_seconds)
              THEN 'its worker is here and does not speak of it'
          WHEN l.lease_expires_at < now() AND coalesce(l.leases_until < now(), true) THEN 'its lease is over'
      END AS why) y
 WHERE y.why IS NOT NULL;
