-- Every gradient and what became of it; each volunteer can see how much of theirs was used, and why. `staleness` counts
-- the versions published between its claim and its merge. Three counts of bytes: `raw_bytes` it would have with every
-- value whole, `coded_bytes` its blob has, `sent_bytes` came over the line, parts that came again included.
CREATE VIEW watch.gradients AS
SELECT r.name AS run, g.id AS gradient, g.unit_id AS unit, g.attempt, v.name AS volunteer, g.worker_id AS worker,
       g.base_version, g.state, g.verdict, g.weight, g.merged_version,
       g.merged_version - 1 - g.base_version AS staleness, g.codec, g.num_samples, g.losses, m.num_bytes AS raw_bytes,
       g.num_bytes AS coded_bytes, g.sent_bytes, g.created_at, g.submitted_at, g.finished_at
  FROM ledger.gradients g
  JOIN ledger.runs r ON r.id = g.run_id
  -- The weights it was computed from have its form.
  LEFT JOIN ledger.model_versions m ON m.run_id = g.run_id AND m.number = g.base_version
  LEFT JOIN ledger.workers w ON w.id = g.worker_id
  LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id;
