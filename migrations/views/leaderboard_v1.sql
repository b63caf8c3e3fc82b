-- Who did how much of each run: by the samples that moved the model, which is what a larger computer does more of and
-- what nobody can claim without computing. Who has as many has the same place. `seconds_computing` is the time in
-- which a computer of theirs had a unit in hand, whatever became of it; `num_workers` are those that are here now.
CREATE VIEW watch.leaderboard AS
SELECT run, rank() OVER (PARTITION BY run ORDER BY num_samples_merged DESC) AS place, volunteer, display_name,
       num_merged AS num_units_merged, num_samples_merged,
       num_samples_merged / nullif(sum(num_samples_merged::double precision) OVER (PARTITION BY run), 0) AS share_of_run,
       seconds_computing,
       num_merged::double precision / nullif(num_merged + num_stale + num_refused + num_late, 0) AS share_accepted,
       num_workers, num_workers > 0 AS is_present, first_at, last_at
  FROM ledger.people;
