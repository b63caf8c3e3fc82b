-- What became of each worker's gradients. `share_accepted` is of those whose fate is known; `num_stale` were refused because
-- too many versions had passed, `num_refused` for what was in them, `num_late` were discarded because their round was
-- over. `mean_staleness` counts the versions between claim and merge, of those that were merged.
CREATE VIEW watch.acceptance AS
SELECT r.name AS run, v.name AS volunteer, t.worker_id AS worker, t.num_submitted, t.num_merged, t.num_stale, t.num_refused,
       t.num_late,
       t.num_merged::double precision / nullif(t.num_judged, 0) AS share_accepted,
       t.staleness_sum::double precision / nullif(t.num_merged, 0) AS mean_staleness, t.num_samples_merged
  FROM ledger.worker_records t
  JOIN ledger.runs r ON r.id = t.run_id
  JOIN ledger.volunteers v ON v.id = t.volunteer_id
 WHERE t.num_submitted > 0;
