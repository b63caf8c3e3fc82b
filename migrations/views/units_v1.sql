-- Every work unit, without the token that guards its lease.
CREATE VIEW watch.units AS
SELECT r.name AS run, u.id AS unit, u.epoch, u.first_sample, u.num_samples, u.base_version, u.state, u.state_reason,
       u.attempt, u.num_failures, v.name AS volunteer, u.worker_id AS worker, u.leased_at, u.lease_expires_at,
       u.created_at, u.finished_at
  FROM ledger.work_units u
  JOIN ledger.runs r ON r.id = u.run_id
  LEFT JOIN ledger.workers w ON w.id = u.worker_id
  LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id;
