-- Who did how much of each run: by the samples that moved the model, which is what a larger computer does more of and
-- what nobody can claim without computing. Who has as many has the same place. `seconds_computing` is the time in
-- which a computer of theirs had a unit in hand, whatever became of it; `num_workers` are those that are here now.
CREATE VIEW watch.leaderboard AS
SELECT p.run, rank() OVER (PARTITION BY p.run ORDER BY p.num_samples_merged DESC) AS place, p.volunteer, p.display_name,
       p.num_merged AS num_units_merged, p.num_samples_merged,
       p.num_samples_merged / nullif(w.num_samples, 0) AS share_of_run, p.seconds_computing,
       p.num_merged / nullif(p.num_judged, 0) AS share_accepted,
       p.num_workers, p.num_workers > 0 AS is_present, p.first_at, p.last_at
  FROM ledger.people p
  LEFT JOIN (SELECT run_id, sum(num_samples_merged::double precision) AS num_samples
               FROM ledger.worker_tallies GROUP BY run_id) w ON w.run_id = p.run_id;
