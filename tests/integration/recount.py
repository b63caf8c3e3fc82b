"""The tallies, and the same counted anew from every gradient and every unit."""

from __future__ import annotations

from typing import Final

import pytest
from sqlalchemy import Connection, text

_BY_WORKER: Final = text("""
    SELECT run_id, worker_id, num_merged, num_stale, num_refused, num_late, num_samples_merged, staleness_sum,
           weight_sum, seconds_computing, raw_bytes, coded_bytes, sent_bytes,
           extract(epoch FROM first_at)::float8 AS first_at, extract(epoch FROM last_at)::float8 AS last_at
      FROM ledger.worker_tallies WHERE run_id = :run ORDER BY worker_id""")
# When the lease of each was taken, the log tells: the unit itself may have been leased again since.
_BY_WORKER_ANEW: Final = text("""
    WITH leases AS (
        SELECT subject_id AS unit_id, since AS leased_at,
               row_number() OVER (PARTITION BY subject_id ORDER BY id) AS place
          FROM ledger.events WHERE subject = 'unit' AND old_state = 'leased' AND new_state = 'submitted'),
         numbered AS (
        SELECT *, lag(created_at) OVER (PARTITION BY worker_id ORDER BY id) AS previous_at,
               count(submitted_at) OVER (PARTITION BY unit_id ORDER BY id) AS place FROM ledger.gradients)
    SELECT g.run_id, g.worker_id,
           count(*) FILTER (WHERE g.state = 'merged') AS num_merged,
           count(*) FILTER (WHERE g.state = 'rejected' AND g.verdict LIKE 'stale:%') AS num_stale,
           count(*) FILTER (WHERE g.state = 'rejected' AND g.verdict NOT LIKE 'stale:%') AS num_refused,
           count(g.submitted_at) FILTER (WHERE g.state = 'discarded') AS num_late,
           coalesce(sum(g.num_samples) FILTER (WHERE g.state = 'merged'), 0)::bigint AS num_samples_merged,
           coalesce(sum(g.merged_version - 1 - g.base_version), 0)::bigint AS staleness_sum,
           coalesce(sum(g.weight) FILTER (WHERE g.state = 'merged'), 0) AS weight_sum,
           coalesce(sum(greatest(0, extract(epoch FROM g.created_at - greatest(l.leased_at, g.previous_at))))
                    FILTER (WHERE g.submitted_at IS NOT NULL), 0)::float8 AS seconds_computing,
           coalesce(sum(m.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL), 0)::bigint AS raw_bytes,
           coalesce(sum(g.num_bytes) FILTER (WHERE g.submitted_at IS NOT NULL), 0)::bigint AS coded_bytes,
           sum(g.sent_bytes)::bigint AS sent_bytes,
           extract(epoch FROM min(g.submitted_at))::float8 AS first_at,
           extract(epoch FROM max(g.submitted_at))::float8 AS last_at
      FROM numbered g
      LEFT JOIN leases l ON l.unit_id = g.unit_id AND l.place = g.place AND g.submitted_at IS NOT NULL
      JOIN ledger.model_versions m ON m.run_id = g.run_id AND m.number = g.base_version
     WHERE g.run_id = :run AND g.state IN ('merged', 'rejected', 'discarded')
     GROUP BY g.run_id, g.worker_id ORDER BY g.worker_id""")
_BY_EPOCH: Final = text("""
    SELECT epoch, sum(num_merged)::bigint AS num_merged, sum(num_cancelled)::bigint AS num_cancelled,
           sum(num_failed)::bigint AS num_failed, sum(num_samples_failed)::bigint AS num_samples_failed,
           sum(num_begun)::bigint AS num_begun, sum(num_samples_merged)::bigint AS num_samples_merged,
           sum(num_samples_surplus)::bigint AS num_samples_surplus
      FROM ledger.unit_tallies WHERE run_id = :run GROUP BY epoch ORDER BY epoch""")
_BY_EPOCH_ANEW: Final = text("""
    SELECT epoch, sum(num_merged)::bigint AS num_merged, sum(num_cancelled)::bigint AS num_cancelled,
           sum(num_failed)::bigint AS num_failed, sum(num_samples_failed)::bigint AS num_samples_failed,
           sum(num_begun)::bigint AS num_begun, sum(num_samples_merged)::bigint AS num_samples_merged,
           sum(num_samples_surplus)::bigint AS num_samples_surplus
      FROM (SELECT epoch, (state = 'merged')::integer AS num_merged, (state = 'cancelled')::integer AS num_cancelled,
                   (state = 'failed')::integer AS num_failed,
                   CASE state WHEN 'failed' THEN num_samples ELSE 0 END AS num_samples_failed, attempt AS num_begun,
                   CASE state WHEN 'merged' THEN num_samples ELSE 0 END AS num_samples_merged,
                   0 AS num_samples_surplus
              FROM ledger.work_units WHERE run_id = :run AND state IN ('merged', 'cancelled', 'failed')
             UNION ALL
            SELECT u.epoch, 0, 0, 0, 0, 0, 0, g.num_samples
              FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
             WHERE g.run_id = :run AND g.state IN ('rejected', 'discarded') AND g.submitted_at IS NOT NULL) counted
     GROUP BY epoch ORDER BY epoch""")
_BY_MINUTE: Final = text("""
    SELECT minute, num_units, num_samples FROM ledger.minute_tallies WHERE run_id = :run ORDER BY minute""")
_BY_MINUTE_ANEW: Final = text("""
    SELECT date_trunc('minute', finished_at) AS minute, count(*) AS num_units, sum(num_samples)::bigint AS num_samples
      FROM ledger.gradients g
     WHERE run_id = :run AND state = 'merged'
       AND EXISTS (SELECT FROM ledger.aggregations a WHERE a.run_id = g.run_id AND a.version = g.merged_version)
     GROUP BY 1 ORDER BY 1""")
_BY_STRETCH: Final = text("""
    SELECT name, stretch, last_version, num_values, value_sum
      FROM ledger.metric_tallies WHERE run_id = :run AND num_values > 0 ORDER BY name, stretch""")
_BY_STRETCH_ANEW: Final = text("""
    SELECT name, version / 16 AS stretch, max(version) AS last_version, count(*) AS num_values, sum(value) AS value_sum
      FROM ledger.metrics WHERE run_id = :run AND abs(value) < 1e300 GROUP BY 1, 2 ORDER BY 1, 2""")
_PROGRESS: Final = text("""
    SELECT num_open, num_leased, num_submitted, num_merged, num_failed, num_cancelled, num_begun, num_samples_merged
      FROM watch.progress p JOIN ledger.runs r ON r.name = p.run WHERE r.id = :run""")
_PROGRESS_ANEW: Final = text("""
    SELECT count(*) FILTER (WHERE state = 'open') AS num_open, count(*) FILTER (WHERE state = 'leased') AS num_leased,
           count(*) FILTER (WHERE state = 'submitted') AS num_submitted,
           count(*) FILTER (WHERE state = 'merged') AS num_merged,
           count(*) FILTER (WHERE state = 'failed') AS num_failed,
           count(*) FILTER (WHERE state = 'cancelled') AS num_cancelled,
           coalesce(sum(attempt), 0)::bigint AS num_begun,
           coalesce(sum(num_samples) FILTER (WHERE state = 'merged'), 0)::bigint AS num_samples_merged
      FROM ledger.work_units WHERE run_id = :run""")
_BOTH_WAYS: Final = (
    (_BY_WORKER, _BY_WORKER_ANEW),
    (_BY_EPOCH, _BY_EPOCH_ANEW),
    (_BY_MINUTE, _BY_MINUTE_ANEW),
    (_BY_STRETCH, _BY_STRETCH_ANEW),
    (_PROGRESS, _PROGRESS_ANEW),
)


def assert_tallies_are_true(conn: Connection, run: int) -> None:
    for kept, anew in _BOTH_WAYS:
        told = [dict(row) for row in conn.execute(kept, {"run": run}).mappings()]
        true = [dict(row) for row in conn.execute(anew, {"run": run}).mappings()]
        assert len(told) == len(true)
        for one, other in zip(told, true, strict=True):
            sums = {name: pytest.approx(other[name], abs=1e-6) for name, value in other.items() if type(value) is float}
            assert one == {**other, **sums}
