-- What each person did in a run, on all their computers together; also who has not submitted anything yet.
CREATE VIEW ledger.people AS
SELECT r.name AS run, v.name AS volunteer, coalesce(v.display_name, v.name) AS display_name, v.role_name,
       (coalesce(sum(t.num_submitted), 0))::bigint AS num_submitted,
       (coalesce(sum(t.num_merged), 0))::bigint AS num_merged,
       (coalesce(sum(t.num_stale), 0))::bigint AS num_stale,
       (coalesce(sum(t.num_refused), 0))::bigint AS num_refused,
       (coalesce(sum(t.num_late), 0))::bigint AS num_late,
       (coalesce(sum(t.num_samples_merged), 0))::bigint AS num_samples_merged,
       coalesce(sum(t.weight_sum), 0) AS weight_sum,
       coalesce(sum(t.seconds_computing), 0) AS seconds_computing,
       (coalesce(sum(t.raw_bytes), 0))::bigint AS raw_bytes,
       (coalesce(sum(t.coded_bytes), 0))::bigint AS coded_bytes,
       (coalesce(sum(t.sent_bytes), 0))::bigint AS sent_bytes,
       count(*) FILTER (WHERE w.left_at IS NULL AND h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds))
           AS num_workers,
       min(t.first_at) AS first_at, max(t.last_at) AS last_at
  FROM ledger.workers w
  JOIN ledger.runs r ON r.id = w.run_id
  JOIN ledger.volunteers v ON v.id = w.volunteer_id
  LEFT JOIN ledger.heartbeats h ON h.worker_id = w.id
  LEFT JOIN ledger.worker_records t ON t.run_id = w.run_id AND t.worker_id = w.id
 GROUP BY r.name, v.id;
