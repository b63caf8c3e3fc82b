-- What versions of the model made when they were asked: PNG pictures, or text in UTF-8.
CREATE VIEW watch.samples AS
SELECT r.name AS run, s.version, s.media_type, s.content, s.at
  FROM ledger.samples s JOIN ledger.runs r ON r.id = s.run_id;
