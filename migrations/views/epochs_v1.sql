-- Each pass over the data: of how many samples gradients moved the model, how many were computed and not used
-- (surplus), and how many belong to units that failed for good and are left out of this pass (skipped).
CREATE VIEW watch.epochs AS
SELECT r.name AS run, u.epoch, u.num_units, u.used_samples, coalesce(s.surplus_samples, 0) AS surplus_samples,
       u.skipped_samples
  FROM (SELECT run_id, epoch, count(*) FILTER (WHERE state <> 'cancelled') AS num_units,
               coalesce(sum(num_samples) FILTER (WHERE state = 'merged'), 0) AS used_samples,
               coalesce(sum(num_samples) FILTER (WHERE state = 'failed'), 0) AS skipped_samples
          FROM ledger.work_units GROUP BY run_id, epoch) u
  JOIN ledger.runs r ON r.id = u.run_id
  LEFT JOIN (SELECT w.run_id, w.epoch, sum(g.num_samples)::bigint AS surplus_samples
               FROM ledger.gradients g JOIN ledger.work_units w ON w.id = g.unit_id
              WHERE g.submitted_at IS NOT NULL AND g.state IN ('rejected', 'discarded')
              GROUP BY w.run_id, w.epoch) s ON s.run_id = u.run_id AND s.epoch = u.epoch;
