-- The units of each epoch by their states: from the tally of what is over, and from what is going on, state by state,
-- because each state has a small index of its own. A unit is found in 'submitted' by way of its gradient.
CREATE VIEW ledger.unit_counts AS
SELECT run_id, epoch, sum(num_open)::bigint AS num_open, sum(num_leased)::bigint AS num_leased,
       sum(num_submitted)::bigint AS num_submitted, sum(num_merged)::bigint AS num_merged,
       sum(num_failed)::bigint AS num_failed, sum(num_cancelled)::bigint AS num_cancelled,
       sum(num_begun)::bigint AS num_begun, sum(num_samples_merged)::bigint AS num_samples_merged,
       sum(num_samples_surplus)::bigint AS num_samples_surplus, sum(num_samples_failed)::bigint AS num_samples_failed
  FROM (SELECT run_id, epoch, 0 AS num_open, 0 AS num_leased, 0 AS num_submitted, num_merged, num_failed,
               num_cancelled, num_begun, num_samples_merged, num_samples_surplus, num_samples_failed
          FROM ledger.unit_tallies
        UNION ALL
        SELECT run_id, epoch, count(*), 0, 0, 0, 0, 0, sum(attempt), 0, 0, 0
          FROM ledger.work_units WHERE state = 'open' GROUP BY run_id, epoch
        UNION ALL
        SELECT run_id, epoch, 0, count(*), 0, 0, 0, 0, sum(attempt), 0, 0, 0
          FROM ledger.work_units WHERE state = 'leased' GROUP BY run_id, epoch
        UNION ALL
        SELECT u.run_id, u.epoch, 0, 0, count(*), 0, 0, 0, sum(u.attempt), 0, 0, 0
          FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
         WHERE g.state = 'submitted' AND u.state = 'submitted' GROUP BY u.run_id, u.epoch) counted
 GROUP BY run_id, epoch;
