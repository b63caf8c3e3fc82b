-- Each run at a glance. Of `num_begun` claims `num_computed` came back as whole gradients; `share_used` of those moved
-- the model. The difference between the two is what was dropped on the way: spares, lost leases, closed laptops.
CREATE VIEW watch.progress AS
SELECT r.name AS run, r.state, r.state_reason, r.mode, r.workload, r.head_version,
       m.optimizer_step, m.created_at AS head_since,
       u.num_open, u.num_leased, u.num_submitted, u.num_merged, u.num_failed, u.num_cancelled,
       u.num_begun, g.num_computed, u.num_merged::double precision / nullif(g.num_computed, 0) AS share_used,
       r.num_gradients_per_update,
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
             count(*) FILTER (WHERE state = 'cancelled') AS num_cancelled,
             coalesce(sum(attempt), 0) AS num_begun
        FROM ledger.work_units WHERE run_id = r.id) u
  CROSS JOIN LATERAL (
      -- What still waits for its merge may yet be used: it counts as neither.
      SELECT count(*) AS num_computed FROM ledger.gradients
       WHERE run_id = r.id AND submitted_at IS NOT NULL AND state <> 'submitted') g;
