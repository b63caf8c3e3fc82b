-- Each run at a glance. Of `num_begun` claims `num_computed` came back as whole gradients; `share_used` of those moved
-- the model. The difference between the two is what was dropped on the way: spares, lost leases, closed laptops.
-- `share_done` is of the samples of all epochs, and counts what was given up as done; `samples_per_second` were merged in
-- the last minute, and with `eta_seconds` more of the same the run is at its end.
-- Each part has one line for each run. They are joined by LEFT, so that whoever asks for the names and states of all runs
-- does not wait for the counts: PostgreSQL leaves out what nobody looks at.
CREATE VIEW watch.progress AS
SELECT r.name AS run, r.state, r.state_reason, r.mode, r.workload, r.head_version,
       m.optimizer_step, m.created_at AS head_since,
       u.num_open, u.num_leased, u.num_submitted, u.num_merged, u.num_failed, u.num_cancelled,
       u.num_begun, g.num_computed, u.num_merged::double precision / nullif(g.num_computed, 0) AS share_used,
       r.num_gradients_per_update,
       (SELECT count(*) FROM ledger.workers w JOIN ledger.heartbeats h ON h.worker_id = w.id
         WHERE w.run_id = r.id AND w.left_at IS NULL
           AND h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds)) AS num_workers,
       r.created_at, r.started_at, r.finished_at,
       u.num_samples_merged, n.samples_per_epoch, n.num_epochs,
       least(1, (u.num_samples_merged + u.num_samples_failed)::double precision / nullif(n.num_samples, 0)) AS share_done,
       s.samples_per_second,
       CASE WHEN r.state = 'running'
            THEN greatest(0, n.num_samples - u.num_samples_merged - u.num_samples_failed) / s.samples_per_second
       END AS eta_seconds
  FROM ledger.runs r
  LEFT JOIN ledger.model_versions m ON m.run_id = r.id AND m.number = r.head_version
  LEFT JOIN LATERAL (
      SELECT (r.data ->> 'num_samples')::bigint AS samples_per_epoch,
             (r.training ->> 'num_epochs')::bigint AS num_epochs,
             (r.data ->> 'num_samples')::bigint * (r.training ->> 'num_epochs')::bigint AS num_samples) n ON true
  LEFT JOIN LATERAL (
      SELECT coalesce(sum(num_open), 0)::bigint AS num_open, coalesce(sum(num_leased), 0)::bigint AS num_leased,
             coalesce(sum(num_submitted), 0)::bigint AS num_submitted,
             coalesce(sum(num_merged), 0)::bigint AS num_merged, coalesce(sum(num_failed), 0)::bigint AS num_failed,
             coalesce(sum(num_cancelled), 0)::bigint AS num_cancelled,
             coalesce(sum(num_begun), 0)::bigint AS num_begun,
             coalesce(sum(num_samples_merged), 0)::bigint AS num_samples_merged,
             coalesce(sum(num_samples_failed), 0)::bigint AS num_samples_failed
        FROM ledger.unit_counts WHERE run_id = r.id) u ON true
  LEFT JOIN LATERAL (
      -- What still waits for its merge may yet be used: it counts as neither.
      SELECT coalesce(sum(num_merged + num_stale + num_refused + num_late), 0)::bigint AS num_computed
        FROM ledger.worker_tallies WHERE run_id = r.id) g ON true
  LEFT JOIN LATERAL (
      SELECT sum(num_samples)::double precision
                 / greatest(1, least(60, extract(epoch FROM now() - r.started_at)::double precision)) AS samples_per_second
        FROM ledger.gradients
       WHERE run_id = r.id AND state = 'merged' AND finished_at > now() - interval '1 minute') s ON true;
