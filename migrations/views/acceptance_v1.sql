-- What became of each worker's gradients. `share_accepted` is of those whose fate is known; `num_stale` were refused because
-- too many versions had passed, `num_refused` for what was in them, `num_late` were discarded because their round was
-- over. `mean_staleness` counts the versions between claim and merge, of those that were merged.
CREATE VIEW watch.acceptance AS
SELECT run, volunteer, worker, count(*) AS num_submitted,
       count(*) FILTER (WHERE state = 'merged') AS num_merged,
       count(*) FILTER (WHERE state = 'rejected' AND verdict LIKE 'stale:%') AS num_stale,
       count(*) FILTER (WHERE state = 'rejected' AND verdict NOT LIKE 'stale:%') AS num_refused,
       count(*) FILTER (WHERE state = 'discarded') AS num_late,
       count(*) FILTER (WHERE state = 'merged')::double precision
           / nullif(count(*) FILTER (WHERE state <> 'submitted'), 0) AS share_accepted,
       (avg(staleness) FILTER (WHERE state = 'merged'))::double precision AS mean_staleness,
       (coalesce(sum(num_samples) FILTER (WHERE state = 'merged'), 0))::bigint AS num_samples_merged
  FROM watch.gradients WHERE submitted_at IS NOT NULL GROUP BY run, volunteer, worker;
