-- The log: every change of state, with who and why.
CREATE VIEW watch.events AS
SELECT e.id AS event, e.at, r.name AS run, e.subject, e.subject_id, e.old_state, e.new_state, e.since, v.name AS volunteer,
       coalesce(v.display_name, v.name) AS display_name, e.worker_id AS worker, e.reason
  FROM ledger.events e
  LEFT JOIN ledger.runs r ON r.id = e.run_id
  LEFT JOIN ledger.workers w ON w.id = e.worker_id
  LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id;
