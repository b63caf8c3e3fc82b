-- Who is here, when last heard of, and what they do. A worker is present while three heartbeats have not been missed.
CREATE VIEW watch.workers AS
SELECT r.name AS run, v.name AS volunteer, coalesce(v.display_name, v.name) AS display_name, w.id AS worker,
       w.name AS worker_name, w.host, w.device, w.joined_at, w.left_at, w.left_reason, h.at AS last_seen_at,
       w.left_at IS NULL AND h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds) AS is_present,
       h.phase, h.progress, h.samples_per_second, h.unit_ids AS units
  FROM ledger.workers w
  JOIN ledger.volunteers v ON v.id = w.volunteer_id
  JOIN ledger.runs r ON r.id = w.run_id
  LEFT JOIN ledger.heartbeats h ON h.worker_id = w.id;
