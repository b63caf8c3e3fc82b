-- The means of what watch.losses says, one for every sixteen versions in which something was measured: to draw a long run.
-- `version` is the last of those versions; what was no number is in none.
CREATE VIEW watch.curves AS
SELECT r.name AS run, t.name, t.last_version AS version, t.num_values, t.value_sum / t.num_values AS value
  FROM ledger.metric_tallies t
  JOIN ledger.runs r ON r.id = t.run_id
 WHERE t.num_values > 0;
