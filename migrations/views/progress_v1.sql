-- Each run at a glance.
CREATE VIEW watch.progress AS
SELECT r.name AS run, r.state, r.state_reason, r.mode, r.workload, r.head_version,
       m.optimizer_step, m.created_at AS head_since,
       u.num_open, u.num_leased, u.num_submitted, u.num_merged, u.num_failed, u.num_cancelled,
       (SELECT count(*) FROM ledger.workers w JOIN ledger.heartbeats h ON h.worker_id = w.id
         WHERE w.run_id = r.id AND w.left_at IS NULL
           AND h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds)) AS num_workers,
       r.created_at, r.started_at, r.finished_at
  FROM ledger.runs r
  LEFT JOIN ledger.model_versions m ON m.run_id = r.id AND m.number = r.head_version
  CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE state = 'open') AS num_open,
             count(*) FILTER (WHERE state = 'leased') AS num_leased,
             count(*) FILTER (WHERE state = 'submitted') AS num_submitted,
             count(*) FILTER (WHERE state = 'merged') AS num_merged,
             count(*) FILTER (WHERE state = 'failed') AS num_failed,
             count(*) FILTER (WHERE state = 'cancelled') AS num_cancelled
        FROM ledger.work_units WHERE run_id = r.id) u;
