-- Every merged gradient, as a link of its run's chain: what each hash covers is here, so that whoever reads this can
-- compute it again. `weight` is the share that the rule gave the gradient. A private run keeps its checksums to itself.
CREATE VIEW watch.contributions AS
SELECT r.name AS run, c.number, c.gradient_id AS gradient, c.unit_id AS unit, c.attempt, c.volunteer,
       c.worker_id AS worker, c.version, c.num_samples, c.weight, encode(c.sha256, 'hex') AS sha256, c.merged_at,
       encode(c.previous, 'hex') AS previous, encode(c.hash, 'hex') AS hash
  FROM ledger.contributions c
  JOIN ledger.runs r ON r.id = c.run_id;
