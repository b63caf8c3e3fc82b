-- The versions that were shown to the world, and where.
CREATE VIEW watch.pushes AS
SELECT r.name AS run, p.version, p.repository, p.commit, p.url, p.at
  FROM ledger.pushes p JOIN ledger.runs r ON r.id = p.run_id;
