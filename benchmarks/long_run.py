"""A run that is long over its beginning: its rows are written in bulk, as if it had been going for a day."""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import text

from benchmarks.server import PASSWORD, BenchLedger

OBSERVER: Final = "bench_observer"
_MERGED_PER_VERSION: Final = 16
_UNITS_PER_EPOCH: Final = 10_000

# Whoever fills by the million must not ask the guards each time; the tallies are then counted once, at the end.
_GUARDED: Final = ("work_units", "gradients", "events", "aggregations", "contributions", "metrics")
# Worker n is person n's, and holds a unit.
_PEOPLE: Final = """
    INSERT INTO ledger.volunteers (name, role_name)
    SELECT 'person' || n, 'nobody' || n FROM generate_series(1, :workers) n;
    INSERT INTO ledger.workers (volunteer_id, run_id, role_name, name, protocol)
    SELECT id, :run, role_name, 'laptop', 1 FROM ledger.volunteers WHERE role_name LIKE 'nobody%';
    INSERT INTO ledger.heartbeats (worker_id, at, leases_until, phase)
    SELECT id, now() - interval '1 second' * (id % 40), now() + interval '1 hour', 'computing' FROM ledger.workers w
     WHERE NOT EXISTS (SELECT FROM ledger.heartbeats h WHERE h.worker_id = w.id)"""
# Of a hundred units ninety are merged, five refused and computed again, and five were cancelled.
_UNITS: Final = """
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, base_version, state,
                                   attempt, worker_id, leased_at, created_at, finished_at)
    SELECT :run, n, n / :per_epoch, n * 32, 32, n, n / :per_version,
           CASE WHEN n % 100 < 95 THEN 'merged' ELSE 'cancelled' END, CASE WHEN n % 100 < 5 THEN 2 ELSE 1 END,
           :first_worker + n % :workers, at - interval '20 seconds', at - interval '30 seconds', at
      FROM (SELECT n, now() - interval '1 day' * (1 - n::float8 / :units) AS at
              FROM generate_series(0, :units - 1) n) done;
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, state)
    SELECT :run, :units + n, (:units + n) / :per_epoch, 0, 32, n, 'open' FROM generate_series(1, :workers) n;
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, base_version, state,
                                   attempt, worker_id, lease_token, leased_at, lease_expires_at)
    SELECT :run, 2 * :units + n, :units / :per_epoch, 0, 32, n, 0, 'leased', 1, :first_worker + n % :workers,
           gen_random_uuid(), now() - interval '10 seconds', now() + interval '5 minutes'
      FROM generate_series(1, :workers) n;
    UPDATE ledger.heartbeats h SET unit_ids = ARRAY[u.id]
      FROM ledger.work_units u WHERE u.worker_id = h.worker_id AND u.state = 'leased' AND u.worker_id % 100 > 0"""
_GRADIENTS: Final = """
    INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state, codec, num_samples, losses,
                                  num_bytes, sent_bytes, num_parts, sha256, verdict, weight, merged_version, created_at,
                                  submitted_at, finished_at)
    SELECT :run, u.id, a.attempt, u.worker_id, u.base_version,
           CASE WHEN a.attempt < u.attempt THEN 'rejected' WHEN u.state = 'merged' THEN 'merged' ELSE 'discarded' END,
           'fp16', 32, '{"loss": 0.5}', 500000, 500000, 1, sha256('x'),
           CASE WHEN a.attempt < u.attempt AND u.id % 2 = 0 THEN 'stale: 9 behind the head, at most 8 may be'
                WHEN a.attempt < u.attempt THEN 'not finite' WHEN u.state = 'cancelled' THEN 'its round was over' END,
           CASE WHEN u.state = 'merged' AND a.attempt = u.attempt THEN 1.0 / :per_version END,
           CASE WHEN u.state = 'merged' AND a.attempt = u.attempt THEN u.base_version + 1 END,
           u.finished_at - interval '5 seconds', u.finished_at - interval '2 seconds', u.finished_at
      FROM ledger.work_units u CROSS JOIN LATERAL generate_series(1, u.attempt) a (attempt)
     WHERE u.run_id = :run AND u.finished_at IS NOT NULL ORDER BY u.id;
    INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state, num_bytes, sent_bytes)
    SELECT :run, u.id, u.attempt, u.worker_id, 0, 'uploading', 1000, 1000
      FROM ledger.work_units u WHERE u.run_id = :run AND u.state = 'leased' AND u.id % 50 = 0"""
_VERSIONS: Final = """
    INSERT INTO ledger.model_versions (run_id, number, parent, sha256, num_bytes, manifest, optimizer_step, is_keyframe,
                                       created_at)
    SELECT :run, n, n - 1, sha256('x'), 1000000, '{}', n, true, now() - interval '1 day' * (1 - n::float8 / :versions)
      FROM generate_series(1, :versions) n;
    INSERT INTO ledger.aggregations (run_id, version, rule, gradient_ids, weights, input_sha256, output_sha256, seconds)
    SELECT :run, n, 'mean', array_fill(n, ARRAY[:per_version]), array_fill(0.0625::float8, ARRAY[:per_version]),
           sha256('x'), sha256('x'), 0.1 FROM generate_series(1::bigint, :versions) n;
    INSERT INTO ledger.metrics (run_id, version, name, value)
    SELECT :run, n, name, 1.0 / n FROM generate_series(1, :versions) n, unnest('{loss,loss_d}'::text[]) name;
    INSERT INTO ledger.samples (run_id, version, media_type, content)
    SELECT :run, n, 'text/plain', 'once upon a time' FROM generate_series(1, least(200, :versions)) n;
    INSERT INTO ledger.pushes (run_id, version, repository, commit, url)
    SELECT :run, n, 'user/repo', 'c0ffee', 'https://localhost' FROM generate_series(1, least(200, :versions)) n;
    UPDATE ledger.runs SET head_version = :versions, started_at = now() - interval '1 day',
           data = jsonb_build_object('num_samples', 32 * :per_epoch), training = '{"num_epochs": 200}'"""
_EVENTS: Final = """
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, worker_id, at)
    SELECT :run, 'unit', u.id, 'leased', 'submitted', u.worker_id, u.finished_at
      FROM ledger.work_units u WHERE u.run_id = :run AND u.finished_at IS NOT NULL ORDER BY u.id"""
_TALLIES: Final = """
    INSERT INTO ledger.worker_tallies
    SELECT run_id, worker_id, count(*) FILTER (WHERE state = 'merged'),
           count(*) FILTER (WHERE state = 'rejected' AND verdict LIKE 'stale:%'),
           count(*) FILTER (WHERE state = 'rejected' AND verdict NOT LIKE 'stale:%'),
           count(*) FILTER (WHERE state = 'discarded'), coalesce(sum(num_samples) FILTER (WHERE state = 'merged'), 0),
           coalesce(sum(merged_version - 1 - base_version), 0), coalesce(sum(weight), 0), 15 * count(*),
           2 * sum(num_bytes), sum(num_bytes), sum(sent_bytes), min(submitted_at), max(submitted_at)
      FROM ledger.gradients WHERE run_id = :run AND finished_at IS NOT NULL GROUP BY run_id, worker_id;
    INSERT INTO ledger.unit_tallies (run_id, epoch, lane, num_merged, num_cancelled, num_begun, num_samples_merged)
    SELECT run_id, epoch, id % 16, count(*) FILTER (WHERE state = 'merged'),
           count(*) FILTER (WHERE state = 'cancelled'), sum(attempt),
           coalesce(sum(num_samples) FILTER (WHERE state = 'merged'), 0)
      FROM ledger.work_units WHERE run_id = :run AND finished_at IS NOT NULL GROUP BY run_id, epoch, id % 16;
    INSERT INTO ledger.minute_tallies
    SELECT run_id, date_trunc('minute', finished_at), count(*), sum(num_samples)
      FROM ledger.gradients WHERE run_id = :run AND state = 'merged' GROUP BY 1, 2;
    INSERT INTO ledger.metric_tallies
    SELECT run_id, name, version / 16, max(version), count(*), sum(value)
      FROM ledger.metrics WHERE run_id = :run GROUP BY 1, 2, 3"""
_LINKS: Final = """
    INSERT INTO ledger.contributions
    SELECT g.run_id, row_number() OVER (ORDER BY g.id), g.id, g.unit_id, g.attempt, 'bench', g.worker_id,
           g.merged_version, g.num_samples, g.weight, g.sha256, g.finished_at, sha256('x'), sha256('x')
      FROM ledger.gradients g WHERE g.run_id = :run AND g.state = 'merged'"""
# A hundred wait for the next merge.
_WAITING: Final = """
    UPDATE ledger.gradients
       SET state = 'submitted', codec = 'fp16', num_samples = 32, num_parts = 1, sha256 = sha256('x'),
           submitted_at = now()
     WHERE id IN (SELECT id FROM ledger.gradients WHERE state = 'uploading' LIMIT 100);
    UPDATE ledger.work_units u SET state = 'submitted', lease_token = NULL, lease_expires_at = NULL
      FROM ledger.gradients g WHERE g.unit_id = u.id AND g.state = 'submitted' AND u.state = 'leased'"""
# The filling took minutes: everybody was heard of a moment ago, and something was merged in the last minute.
_NOW: Final = """
    UPDATE ledger.heartbeats SET at = now() - interval '1 second' * (worker_id % 40);
    UPDATE ledger.gradients SET finished_at = now() - interval '1 second' * (id % 60)
     WHERE id IN (SELECT id FROM ledger.gradients WHERE state = 'merged' ORDER BY id DESC LIMIT 1000)"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    num_units: int
    num_workers: int


def fill(ledger: BenchLedger, extent: Extent) -> None:
    """Units, gradients, versions, events and tallies of a day, and what is going on at its end."""
    values = {
        "run": ledger.run,
        "units": extent.num_units,
        "workers": extent.num_workers,
        "per_epoch": _UNITS_PER_EPOCH,
        "per_version": _MERGED_PER_VERSION,
        "versions": extent.num_units // _MERGED_PER_VERSION,
        # Behind the one that is there already.
        "first_worker": ledger.workers.stop,
    }
    _switch_guards(ledger, "DISABLE")
    for block in (_PEOPLE, _UNITS, _GRADIENTS, _VERSIONS, _EVENTS, _TALLIES, _LINKS):
        _execute(ledger, block, values)
    ledger.vacuum()
    _execute(ledger, _NOW, values)
    _switch_guards(ledger, "ENABLE")
    _execute(ledger, _WAITING, values)
    ledger.execute(f"CREATE ROLE {OBSERVER} LOGIN PASSWORD '{PASSWORD}' IN ROLE barnraise_observers")
    ledger.execute(f"GRANT CONNECT ON DATABASE {ledger.database} TO {OBSERVER}")


def _switch_guards(ledger: BenchLedger, verb: str) -> None:
    for table in _GUARDED:
        ledger.execute(f"ALTER TABLE ledger.{table} {verb} TRIGGER USER")


def _execute(ledger: BenchLedger, block: str, values: dict[str, int]) -> None:
    for statement in block.split(";\n"):
        with ledger.owner.begin() as conn:
            wanted = text(statement)
            named = {name: values[name] for name in wanted.compile().params}
            conn.execute(wanted, named)
