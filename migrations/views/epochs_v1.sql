-- Each pass over the data: of how many samples gradients moved the model, how many were computed and not used
-- (surplus), and how many belong to units that failed for good and are left out of this pass (skipped).
CREATE VIEW watch.epochs AS
SELECT r.name AS run, u.epoch, u.num_open + u.num_leased + u.num_submitted + u.num_merged + u.num_failed AS num_units,
       u.num_samples_merged AS used_samples, u.num_samples_surplus AS surplus_samples,
       u.num_samples_failed AS skipped_samples
  FROM ledger.unit_counts u
  JOIN ledger.runs r ON r.id = u.run_id;
