-- What each worker sent up, in bytes: of the gradients it submitted, what they would have had with every value whole
-- (`raw_bytes`) and what their codec made of it (`coded_bytes`); and all that came over the line (`sent_bytes`), with parts
-- that came again and with gradients that were never complete.
CREATE VIEW watch.bytes AS
SELECT r.name AS run, v.name AS volunteer, t.worker_id AS worker, t.num_submitted AS num_gradients, t.raw_bytes,
       t.coded_bytes, t.sent_bytes
  FROM ledger.worker_records t
  JOIN ledger.runs r ON r.id = t.run_id
  JOIN ledger.volunteers v ON v.id = t.volunteer_id
 WHERE t.sent_bytes > 0;
