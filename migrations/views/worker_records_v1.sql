-- What each worker did, and what became of it, whose fate is known or not. The views of schema watch are made of it.
CREATE VIEW ledger.worker_records AS
SELECT g.run_id, g.worker_id,
       count(g.submitted_at) AS num_submitted,
       count(*) FILTER (WHERE g.state = 'merged') AS num_merged,
       count(*) FILTER (WHERE g.state = 'rejected' AND g.verdict LIKE 'stale:%') AS num_stale,
       count(*) FILTER (WHERE g.state = 'rejected' AND g.verdict NOT LIKE 'stale:%') AS num_refused,
       count(g.submitted_at) FILTER (WHERE g.state = 'discarded') AS num_late,
       (coalesce(sum(g.num_samples) FILTER (WHERE g.state = 'merged'), 0))::bigint AS num_samples_merged,
       (coalesce(sum(g.merged_version - 1 - g.base_version), 0))::bigint AS staleness_sum,
       coalesce(sum(g.weight) FILTER (WHERE g.state = 'merged'), 0) AS weight_sum,
       coalesce(sum(greatest(0, extract(epoch FROM g.created_at - greatest(u.leased_at, g.previous_at))))
                FILTER (WHERE g.submitted_at IS NOT NULL), 0)::double precision AS seconds_computing,
       (coalesce(sum(m.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL), 0))::bigint AS raw_bytes,
       (coalesce(sum(g.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL), 0))::bigint AS coded_bytes,
       (sum(g.sent_bytes))::bigint AS sent_bytes,
       min(g.submitted_at) AS first_at, max(g.submitted_at) AS last_at
  FROM (SELECT *, lag(created_at) OVER (PARTITION BY worker_id ORDER BY id) AS previous_at FROM ledger.gradients) g
  LEFT JOIN ledger.work_units u ON u.id = g.unit_id AND u.attempt = g.attempt
  LEFT JOIN ledger.model_versions m ON m.run_id = g.run_id AND m.number = g.base_version
 GROUP BY g.run_id, g.worker_id;
