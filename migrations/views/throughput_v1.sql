-- How much was merged in each minute of the last 24 hours in which anything was. The newest minute may still be going on.
CREATE VIEW watch.throughput AS
SELECT r.name AS run, t.minute, t.num_units, t.num_samples, t.num_samples::double precision / 60 AS samples_per_second
  FROM ledger.minute_tallies t
  JOIN ledger.runs r ON r.id = t.run_id
 WHERE t.minute > now() - interval '24 hours';
