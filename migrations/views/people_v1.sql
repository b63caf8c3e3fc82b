-- What each person did in a run, on all their computers together; also who has not submitted anything yet.
-- Summed as floating point, exact up to 2^53: a sum of bigints is a numeric, which took half the time of a leaderboard.
CREATE VIEW ledger.people AS
SELECT r.id AS run_id, r.name AS run, v.name AS volunteer, coalesce(v.display_name, v.name) AS display_name, v.role_name,
       sum(t.num_submitted::double precision)::bigint AS num_submitted,
       sum(t.num_judged::double precision) AS num_judged,
       sum(t.num_merged::double precision)::bigint AS num_merged,
       sum(t.num_stale::double precision)::bigint AS num_stale,
       sum(t.num_refused::double precision)::bigint AS num_refused,
       sum(t.num_late::double precision)::bigint AS num_late,
       sum(t.num_samples_merged::double precision)::bigint AS num_samples_merged,
       sum(t.weight_sum) AS weight_sum, sum(t.seconds_computing) AS seconds_computing,
       sum(t.raw_bytes::double precision)::bigint AS raw_bytes,
       sum(t.coded_bytes::double precision)::bigint AS coded_bytes,
       sum(t.sent_bytes::double precision)::bigint AS sent_bytes,
       count(*) FILTER (WHERE t.left_at IS NULL AND h.at > now() - 3 * r.heartbeat_seconds * interval '1 second')
           AS num_workers,
       min(t.first_at) AS first_at, max(t.last_at) AS last_at
  FROM ledger.worker_records t
  JOIN ledger.runs r ON r.id = t.run_id
  JOIN ledger.volunteers v ON v.id = t.volunteer_id
  LEFT JOIN ledger.heartbeats h ON h.worker_id = t.worker_id
 GROUP BY r.id, v.id;
