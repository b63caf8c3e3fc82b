-- What each worker sent up, in bytes: of the gradients it submitted, what they would have had with every value whole
-- (`raw_bytes`) and what their codec made of it (`coded_bytes`); and all that came over the line (`sent_bytes`), with parts
-- that came again and with gradients that were never complete.
CREATE VIEW watch.bytes AS
SELECT run, volunteer, worker, count(submitted_at) AS num_gradients,
       (coalesce(sum(raw_bytes) FILTER (WHERE submitted_at IS NOT NULL), 0))::bigint AS raw_bytes,
       (coalesce(sum(coded_bytes) FILTER (WHERE submitted_at IS NOT NULL), 0))::bigint AS coded_bytes,
       sum(sent_bytes)::bigint AS sent_bytes
  FROM watch.gradients GROUP BY run, volunteer, worker;
