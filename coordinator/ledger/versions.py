"""Model versions: their parts, the state of the optimizer that made them, and the record of each merge."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from sqlalchemy import Connection, text

from contract.database import CHANNEL, binary_cursor
from contract.errors import LeadershipLost
from contract.ids import GradientId, RunId, Version

Kind = Literal["weights", "delta", "optimizer"]
Part = bytes | bytearray | memoryview

_ADD_VERSION = text("""
    INSERT INTO ledger.model_versions (run_id, number, parent, sha256, num_bytes, manifest, optimizer_step, is_keyframe,
                                       delta_codec, delta_bytes)
    VALUES (:run, :number, :parent, :sha256, :num_bytes, CAST(:manifest AS jsonb), :optimizer_step, :is_keyframe,
            :delta_codec, :delta_bytes)
    ON CONFLICT (run_id, number) DO NOTHING""")
_BECOMES_KEYFRAME = text("""
    UPDATE ledger.model_versions SET is_keyframe = true WHERE run_id = :run AND number = :version""")
_ADD_PART = """
    INSERT INTO ledger.model_parts (run_id, version, kind, part, sha256, content)
    VALUES (%b, %b, %t, %b::integer, %b, %b)
    ON CONFLICT (run_id, version, kind, part) DO NOTHING"""
_SET_HEAD = text("UPDATE ledger.runs SET head_version = :version WHERE id = :run")
_ADD_AGGREGATION = text("""
    INSERT INTO ledger.aggregations (run_id, version, rule, options, gradient_ids, weights, input_sha256, output_sha256,
                                     seconds)
    VALUES (:run, :version, :rule, CAST(:options AS jsonb), :gradients, :weights, :input_sha256, :output_sha256,
            :seconds)""")
_ADD_METRICS = text("""
    INSERT INTO ledger.metrics (run_id, version, name, value) VALUES (:run, :version, :name, :value)
    ON CONFLICT (run_id, version, name) DO UPDATE SET value = excluded.value""")
_LAST_WITH_METRICS = text("""
    SELECT max(version) FROM ledger.metrics WHERE run_id = :run AND starts_with(name, :prefix)""")
_FIND_VERSION = text("""
    SELECT sha256, num_bytes, optimizer_step FROM ledger.model_versions WHERE run_id = :run AND number = :version""")
_NUM_PARTS = text("""
    SELECT count(*) FROM ledger.model_parts WHERE run_id = :run AND version = :version AND kind = :kind""")
_READ_PART = """
    SELECT content FROM ledger.model_parts WHERE run_id = %b AND version = %b AND kind = %t AND part = %b::integer"""
_LAST_REMEMBERED = text("""
    SELECT max(version) FROM ledger.model_parts WHERE run_id = :run AND kind = 'optimizer' AND version <= :up_to""")
_REMEMBERED_SINCE = text("""
    WITH remembered AS (SELECT DISTINCT version FROM ledger.model_parts WHERE run_id = :run AND kind = 'optimizer')
    SELECT version FROM remembered
     WHERE version >= coalesce((SELECT max(version) FROM remembered WHERE version <= :since), 0) ORDER BY version""")
_FIND_AGGREGATION = text("""
    SELECT rule, options, gradient_ids, weights, input_sha256, output_sha256, seconds
      FROM ledger.aggregations WHERE run_id = :run AND version = :version""")
_LAST_WHOLE = text("""
    SELECT max(version) FROM ledger.model_parts WHERE run_id = :run AND kind = 'weights' AND version <= :up_to""")
# Those that a whole version leads to without a gap: as many versions lie between the two as numbers.
_KEPT = text("""
    WITH there AS (
        SELECT version, bool_or(kind = 'weights') AS is_whole, row_number() OVER (ORDER BY version) AS place
          FROM ledger.model_parts WHERE run_id = :run AND kind IN ('weights', 'delta') GROUP BY version),
         led AS (
        SELECT version, place, max(version) FILTER (WHERE is_whole) OVER (ORDER BY version) AS whole,
               max(place) FILTER (WHERE is_whole) OVER (ORDER BY version) AS place_of_whole
          FROM there)
    SELECT version FROM led WHERE version - whole = place - place_of_whole ORDER BY version""")
# A version that is kept needs the newest whole one up to it, and every delta after that.
_FORGET_WEIGHTS = text("""
    WITH kept AS (
        SELECT CAST(:before AS bigint) AS version UNION SELECT unnest(CAST(:spared AS bigint[]))
        UNION SELECT number FROM ledger.model_versions WHERE run_id = :run AND is_keeper),
         ways AS (
        SELECT k.version AS goal,
               (SELECT max(p.version) FROM ledger.model_parts p
                 WHERE p.run_id = :run AND p.kind = 'weights' AND p.version <= k.version) AS whole
          FROM kept k)
    DELETE FROM ledger.model_parts p
     WHERE p.run_id = :run AND p.version < :before
       AND (p.kind = 'weights' OR (p.kind = 'delta' AND p.version <= :led_from))
       AND NOT EXISTS (SELECT FROM ways w
                        WHERE p.version BETWEEN w.whole AND w.goal
                          AND (p.kind = 'weights') = (p.version = w.whole))""")
_FORGET_OPTIMIZER = text("""
    DELETE FROM ledger.model_parts p USING ledger.model_versions m
     WHERE m.run_id = p.run_id AND m.number = p.version AND NOT m.is_keeper AND p.run_id = :run
       AND p.kind = 'optimizer' AND p.version < :before""")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What leads to a version from the one before it, in the codec of that name."""

    codec: str
    parts: Sequence[Part]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """`parts` are the whole weights; where they are not a keyframe only their checksum and length are written."""

    number: Version
    parent: Version | None
    # As JSON text.
    manifest: str
    optimizer_step: int
    parts: Sequence[Part]
    is_keyframe: bool = True
    delta: Delta | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VersionHead:
    sha256: bytes
    num_bytes: int
    optimizer_step: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """Enough to compute a merge again, bit for bit. The options are the whole recipe's. The weights are what each
    gradient came with; the share that the rule gave it stands with the gradient."""

    rule: str
    options: Mapping[str, Any]
    gradients: Sequence[GradientId]
    weights: Sequence[float]
    input_sha256: bytes
    output_sha256: bytes
    seconds: float


def publish_version(conn: Connection, *, run: RunId, new: NewVersion) -> bytes:
    """A version, the way to it, and the head that points to it; whoever listens hears of it at the commit. Answers with
    the checksum of the weights."""
    with ThreadPoolExecutor(1) as beside:
        # While the database writes, this process would only wait.
        whole = beside.submit(digest_of, new.parts)
        if new.is_keyframe:
            add_parts(conn, run=run, version=new.number, kind="weights", parts=new.parts)
        if new.delta is not None:
            add_parts(conn, run=run, version=new.number, kind="delta", parts=new.delta.parts)
        digest = whole.result()
    added = conn.execute(
        _ADD_VERSION,
        {
            "run": run,
            "number": new.number,
            "parent": new.parent,
            "sha256": digest,
            "num_bytes": sum(len(part) for part in new.parts),
            "manifest": new.manifest,
            "optimizer_step": new.optimizer_step,
            "is_keyframe": new.is_keyframe,
            "delta_codec": new.delta.codec if new.delta else None,
            "delta_bytes": sum(len(part) for part in new.delta.parts) if new.delta else None,
        },
    ).rowcount
    if added == 0:
        raise _published_by_another(new.number)
    conn.execute(_SET_HEAD, {"run": run, "version": new.number})
    conn.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"head {run} {new.number}"})
    return digest


def add_keyframe(conn: Connection, *, run: RunId, version: Version, parts: Sequence[Part]) -> None:
    """The whole weights of a version that only a delta led to."""
    add_parts(conn, run=run, version=version, kind="weights", parts=parts)
    conn.execute(_BECOMES_KEYFRAME, {"run": run, "version": version})


def add_parts(conn: Connection, *, run: RunId, version: Version, kind: Kind, parts: Sequence[Part]) -> None:
    with binary_cursor(conn) as cursor:
        for number, part in enumerate(parts):
            cursor.execute(_ADD_PART, (run, version, kind, number, hashlib.sha256(part).digest(), part))
            if cursor.rowcount == 0:
                raise _published_by_another(version)


def record_aggregation(conn: Connection, *, run: RunId, version: Version, aggregation: Aggregation) -> None:
    values = dataclasses.asdict(aggregation)
    values["options"] = json.dumps(values["options"])
    conn.execute(_ADD_AGGREGATION, {"run": run, "version": version, **values})


def record_metrics(conn: Connection, *, run: RunId, version: Version, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        conn.execute(_ADD_METRICS, {"run": run, "version": version, "name": name, "value": value})


def last_with_metrics(conn: Connection, *, run: RunId, prefix: str) -> Version | None:
    """The newest version that has a metric whose name begins so."""
    found: int | None = conn.execute(_LAST_WITH_METRICS, {"run": run, "prefix": prefix}).scalar_one()
    return None if found is None else Version(found)


def find_version(conn: Connection, *, run: RunId, version: Version) -> VersionHead:
    row = conn.execute(_FIND_VERSION, {"run": run, "version": version}).one()
    return VersionHead(sha256=row.sha256, num_bytes=row.num_bytes, optimizer_step=row.optimizer_step)


def read_parts(conn: Connection, *, run: RunId, version: Version, kind: Kind) -> Iterator[bytes]:
    count = conn.execute(_NUM_PARTS, {"run": run, "version": version, "kind": kind}).scalar_one()
    for number in range(count):
        with binary_cursor(conn) as cursor:
            row = cursor.execute(_READ_PART, (run, version, kind, number)).fetchone()
        if row is not None:
            yield row[0]


def kept_versions(conn: Connection, *, run: RunId) -> list[Version]:
    """Those whose weights can still be had."""
    return [Version(number) for number in conn.execute(_KEPT, {"run": run}).scalars()]


def last_whole(conn: Connection, *, run: RunId, up_to: Version) -> Version | None:
    """The newest version whose weights are there in one piece."""
    found: int | None = conn.execute(_LAST_WHOLE, {"run": run, "up_to": up_to}).scalar_one()
    return None if found is None else Version(found)


def last_remembered(conn: Connection, *, run: RunId, up_to: Version) -> Version | None:
    """The newest version whose optimizer's state is written down."""
    found: int | None = conn.execute(_LAST_REMEMBERED, {"run": run, "up_to": up_to}).scalar_one()
    return None if found is None else Version(found)


def remembered_since(conn: Connection, *, run: RunId, since: Version) -> list[Version]:
    """Those whose optimizer's state is written down, from the newest that is not after `since`; all, where none is."""
    found = conn.execute(_REMEMBERED_SINCE, {"run": run, "since": since}).scalars()
    return [Version(number) for number in found]


def find_aggregation(conn: Connection, *, run: RunId, version: Version) -> Aggregation | None:
    """How this version was merged."""
    row = conn.execute(_FIND_AGGREGATION, {"run": run, "version": version}).one_or_none()
    if row is None:
        return None
    return Aggregation(
        rule=row.rule,
        options=row.options,
        gradients=[GradientId(gradient) for gradient in row.gradient_ids],
        weights=row.weights,
        input_sha256=row.input_sha256,
        output_sha256=row.output_sha256,
        seconds=row.seconds,
    )


def forget_weights(
    conn: Connection, *, run: RunId, before: Version, spared: Sequence[Version], led_from: Version
) -> int:
    """Frees the bytes of old versions, except what it takes to have keepers and `spared`, and the deltas after
    `led_from` for whoever follows; their records stay."""
    values = {"run": run, "before": before, "spared": list(spared), "led_from": led_from}
    return conn.execute(_FORGET_WEIGHTS, values).rowcount


def forget_optimizer(conn: Connection, *, run: RunId, before: Version) -> int:
    """Frees what the optimizer remembered before that version, except keepers'."""
    return conn.execute(_FORGET_OPTIMIZER, {"run": run, "before": before}).rowcount


def digest_of(parts: Sequence[Part]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _published_by_another(version: Version) -> LeadershipLost:
    return LeadershipLost(f"version {version} was published by another coordinator; this one reads the run again")
