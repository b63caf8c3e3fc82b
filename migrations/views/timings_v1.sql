-- How long the steps of a unit take, of the last 1,000 gradients whose fate is known. 'wait': from opening to claim, of
-- units that were claimed once. 'compute': from the claim to the first byte of the gradient; a worker that claims ahead
-- begins when it has done with the unit before. 'upload': from there to the submission. 'merge': from the submission
-- until it was merged or refused.
CREATE VIEW watch.timings AS
SELECT r.name AS run, s.step, count(*) AS num_measured,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds) AS p50_seconds,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY s.seconds) AS p95_seconds
  FROM ledger.runs r
  CROSS JOIN LATERAL (
      SELECT * FROM ledger.gradients
       WHERE run_id = r.id AND finished_at IS NOT NULL AND submitted_at IS NOT NULL
       ORDER BY finished_at DESC LIMIT 1000) g
  -- By the pair, as in tally_gradient.
  LEFT JOIN LATERAL (
      SELECT p.worker_id, p.created_at FROM ledger.gradients p WHERE (p.worker_id, p.id) < (g.worker_id, g.id)
       ORDER BY p.worker_id DESC, p.id DESC LIMIT 1) before ON before.worker_id = g.worker_id
  LEFT JOIN ledger.work_units u ON u.id = g.unit_id AND u.attempt = g.attempt
  CROSS JOIN LATERAL (VALUES
      ('wait', CASE WHEN u.attempt = 1 THEN extract(epoch FROM u.leased_at - u.created_at) END),
      ('compute', greatest(0, extract(epoch FROM g.created_at - greatest(u.leased_at, before.created_at)))),
      ('upload', extract(epoch FROM g.submitted_at - g.created_at)),
      ('merge', extract(epoch FROM g.finished_at - g.submitted_at))) AS taken (step, seconds)
  CROSS JOIN LATERAL (SELECT taken.step, taken.seconds::double precision AS seconds) s
 WHERE s.seconds IS NOT NULL
 GROUP BY r.name, s.step;
