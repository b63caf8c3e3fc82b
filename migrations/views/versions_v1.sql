-- Every version of the model and how it came about. What was published first was merged of nothing.
CREATE VIEW watch.versions AS
SELECT r.name AS run, m.number AS version, m.parent, m.created_at, encode(m.sha256, 'hex') AS sha256, m.num_bytes,
       m.is_keyframe, m.is_keeper, m.delta_codec, m.delta_bytes, cardinality(a.gradient_ids)::bigint AS num_gradients,
       a.rule, a.seconds AS merge_seconds
  FROM ledger.model_versions m
  JOIN ledger.runs r ON r.id = m.run_id
  LEFT JOIN ledger.aggregations a ON a.run_id = m.run_id AND a.version = m.number;
