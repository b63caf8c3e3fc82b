-- What each person did in a run, on all their computers together; also who has not submitted anything yet.
CREATE VIEW ledger.people AS
SELECT r.name AS run, v.name AS volunteer, coalesce(v.display_name, v.name) AS display_name, v.role_name,
       sum(t.num_submitted)::bigint AS num_submitted, sum(t.num_merged)::bigint AS num_merged,
       sum(t.num_stale)::bigint AS num_stale, sum(t.num_refused)::bigint AS num_refused,
       sum(t.num_late)::bigint AS num_late, sum(t.num_samples_merged)::bigint AS num_samples_merged,
       sum(t.weight_sum) AS weight_sum, sum(t.seconds_computing) AS seconds_computing,
       sum(t.raw_bytes)::bigint AS raw_bytes, sum(t.coded_bytes)::bigint AS coded_bytes,
       sum(t.sent_bytes)::bigint AS sent_bytes,
       count(*) FILTER (WHERE w.left_at IS NULL AND h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds))
           AS num_workers,
       min(t.first_at) AS first_at, max(t.last_at) AS last_at
  FROM ledger.worker_records t
  JOIN ledger.runs r ON r.id = t.run_id
  JOIN ledger.workers w ON w.id = t.worker_id
  JOIN ledger.volunteers v ON v.id = t.volunteer_id
  LEFT JOIN ledger.heartbeats h ON h.worker_id = t.worker_id
 GROUP BY r.name, v.id;
