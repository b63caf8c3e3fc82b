-- How much was merged in each minute of the last 24 hours in which anything was. The last minute is still running.
CREATE VIEW watch.throughput AS
SELECT r.name AS run, date_trunc('minute', g.finished_at) AS minute, count(*) AS num_units,
       sum(g.num_samples)::bigint AS num_samples, sum(g.num_samples)::double precision / 60 AS samples_per_second
  FROM ledger.gradients g
  JOIN ledger.runs r ON r.id = g.run_id
 WHERE g.state = 'merged' AND g.finished_at > now() - interval '24 hours'
 GROUP BY r.name, date_trunc('minute', g.finished_at);
