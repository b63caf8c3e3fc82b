-- Every merge: which version it made, and of how many gradients.
CREATE VIEW watch.merges AS
SELECT r.name AS run, a.version, cardinality(a.gradient_ids) AS num_gradients, a.rule, a.seconds, a.created_at
  FROM ledger.aggregations a
  JOIN ledger.runs r ON r.id = a.run_id;
