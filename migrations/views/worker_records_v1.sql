-- What each worker did, from the tally of what is decided and from what is still on its way. A line for each worker.
CREATE VIEW ledger.worker_records AS
SELECT w.run_id, w.id AS worker_id, w.volunteer_id, w.name AS worker_name, w.left_at, w.num_failures_in_a_row,
       coalesce(t.num_merged + t.num_stale + t.num_refused + t.num_late, 0) + coalesce(o.num_submitted, 0)
           AS num_submitted,
       coalesce(t.num_merged + t.num_stale + t.num_refused + t.num_late, 0) AS num_judged,
       coalesce(t.num_merged, 0) AS num_merged, coalesce(t.num_stale, 0) AS num_stale,
       coalesce(t.num_refused, 0) AS num_refused, coalesce(t.num_late, 0) AS num_late,
       coalesce(t.num_samples_merged, 0) AS num_samples_merged, coalesce(t.staleness_sum, 0) AS staleness_sum,
       coalesce(t.weight_sum, 0) AS weight_sum, coalesce(t.seconds_computing, 0) AS seconds_computing,
       coalesce(t.raw_bytes, 0) + coalesce(o.raw_bytes, 0) AS raw_bytes,
       coalesce(t.coded_bytes, 0) + coalesce(o.coded_bytes, 0) AS coded_bytes,
       coalesce(t.sent_bytes, 0) + coalesce(o.sent_bytes, 0) AS sent_bytes,
       least(t.first_at, o.first_at) AS first_at, greatest(t.last_at, o.last_at) AS last_at
  FROM ledger.workers w
  LEFT JOIN ledger.worker_tallies t ON t.run_id = w.run_id AND t.worker_id = w.id
  -- OR, because each state has an index of its own, which IN would not use.
  LEFT JOIN (SELECT g.worker_id, count(g.submitted_at) AS num_submitted,
                    (sum(m.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL))::bigint AS raw_bytes,
                    (sum(g.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL))::bigint AS coded_bytes,
                    sum(g.sent_bytes)::bigint AS sent_bytes,
                    min(g.submitted_at) AS first_at, max(g.submitted_at) AS last_at
               FROM ledger.gradients g
               LEFT JOIN ledger.model_versions m ON m.run_id = g.run_id AND m.number = g.base_version
              WHERE g.state = 'submitted' OR g.state = 'uploading' GROUP BY g.worker_id) o ON o.worker_id = w.id;
