-- The caller's own line of the leaderboard, and more about it: whoever asks is who has logged in. An observer and the
-- instructor have none. `mean_weight` is the mean share of the merged gradients in their updates.
CREATE VIEW watch.my_contribution AS
SELECT l.run, l.place, l.volunteer, l.display_name, l.num_units_merged, l.num_samples_merged, l.share_of_run,
       l.seconds_computing, l.share_accepted, l.num_workers, l.is_present, l.first_at, l.last_at, p.num_submitted,
       p.num_stale, p.num_refused, p.num_late, p.weight_sum / nullif(p.num_merged, 0) AS mean_weight, p.raw_bytes,
       p.coded_bytes, p.sent_bytes
  FROM ledger.people p
  JOIN watch.leaderboard l ON l.run = p.run AND l.volunteer = p.volunteer
 WHERE p.role_name = session_user::text;
