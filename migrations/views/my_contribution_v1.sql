-- The caller's own line of the leaderboard, and more about it: whoever asks is who has logged in. An observer and the
-- instructor have none. `mean_weight` is the mean share of the merged gradients in their updates.
-- The place is counted from those before, because a whole leaderboard would be made for one line of it.
CREATE VIEW watch.my_contribution AS
SELECT p.run,
       1 + (SELECT count(*)
              FROM (SELECT sum(t.num_samples_merged::double precision) AS num_samples
                      FROM ledger.worker_tallies t JOIN ledger.workers w ON w.id = t.worker_id
                     WHERE t.run_id = p.run_id GROUP BY w.volunteer_id) others
             WHERE others.num_samples > p.num_samples_merged) AS place,
       p.volunteer, p.display_name, p.num_merged AS num_units_merged, p.num_samples_merged,
       p.num_samples_merged / nullif((SELECT sum(t.num_samples_merged::double precision)
                                        FROM ledger.worker_tallies t WHERE t.run_id = p.run_id), 0) AS share_of_run,
       p.seconds_computing, p.num_merged / nullif(p.num_judged, 0) AS share_accepted,
       p.num_workers, p.num_workers > 0 AS is_present, p.first_at, p.last_at, p.num_submitted,
       p.num_stale, p.num_refused, p.num_late, p.weight_sum / nullif(p.num_merged, 0) AS mean_weight, p.raw_bytes,
       p.coded_bytes, p.sent_bytes
  FROM ledger.people p
 WHERE p.role_name = session_user::text;
