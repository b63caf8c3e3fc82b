-- Workers to have a look at, each with the first reason that holds. A suspicion is no proof: a broken memory, an old
-- driver and an attack look alike from here. Staleness and lateness are slowness, and no reason.
CREATE VIEW watch.suspects AS
SELECT r.name AS run, v.name AS volunteer, t.worker_id AS worker, t.worker_name, t.num_submitted, t.num_refused,
       t.num_failures_in_a_row,
       t.num_merged::double precision / nullif(t.num_judged, 0) AS share_accepted,
       t.weight_sum / nullif(t.num_merged, 0) AS mean_weight, y.why
  FROM ledger.worker_records t
  JOIN ledger.runs r ON r.id = t.run_id
  JOIN ledger.volunteers v ON v.id = t.volunteer_id
  LEFT JOIN (SELECT run_id, sum(weight_sum) / nullif(sum(num_merged), 0) AS mean_weight
               FROM ledger.worker_tallies GROUP BY run_id) usual ON usual.run_id = t.run_id
  CROSS JOIN LATERAL (
      SELECT CASE
          WHEN t.num_failures_in_a_row >= 3
              THEN format('the last %s units failed on this computer', t.num_failures_in_a_row)
          WHEN t.num_refused >= 1 AND 10 * t.num_refused >= t.num_submitted
              THEN format('%s of %s gradients were refused for what was in them', t.num_refused, t.num_submitted)
          WHEN t.num_merged >= 10 AND t.weight_sum / t.num_merged < 0.25 * usual.mean_weight
              THEN format('the rule hardly uses its gradients: a share of %s, where %s is usual',
                          round((t.weight_sum / t.num_merged)::numeric, 4), round(usual.mean_weight::numeric, 4))
      END AS why) y
 WHERE y.why IS NOT NULL;
