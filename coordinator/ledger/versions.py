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

Kind = Literal["weights", "optimizer"]
Part = bytes | bytearray | memoryview

_ADD_VERSION = text("""
    INSERT INTO ledger.model_versions (run_id, number, parent, sha256, num_bytes, manifest, optimizer_step)
    VALUES (:run, :number, :parent, :sha256, :num_bytes, CAST(:manifest AS jsonb), :optimizer_step)
    ON CONFLICT (run_id, number) DO NOTHING""")
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
_FIND_AGGREGATION = text("""
    SELECT rule, options, gradient_ids, weights, input_sha256, output_sha256, seconds
      FROM ledger.aggregations WHERE run_id = :run AND version = :version""")
_KEPT = text("""
    SELECT DISTINCT version FROM ledger.model_parts WHERE run_id = :run AND kind = 'weights' ORDER BY version""")
_FORGET_PARTS = text("""
    DELETE FROM ledger.model_parts p USING ledger.model_versions m
     WHERE m.run_id = p.run_id AND m.number = p.version AND NOT m.is_keeper AND p.run_id = :run AND p.kind = :kind
       AND p.version < :before AND p.version IS DISTINCT FROM CAST(:spared AS bigint)""")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    number: Version
    parent: Version | None
    # As JSON text.
    manifest: str
    optimizer_step: int
    parts: Sequence[Part]


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
    """A version, its weights, and the head that points to it; whoever listens hears of it at the commit. Answers with
    the checksum of the weights."""
    with ThreadPoolExecutor(1) as beside:
        # While the database writes, this process would only wait.
        whole = beside.submit(digest_of, new.parts)
        add_parts(conn, run=run, version=new.number, kind="weights", parts=new.parts)
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
        },
    ).rowcount
    if added == 0:
        raise _published_by_another(new.number)
    conn.execute(_SET_HEAD, {"run": run, "version": new.number})
    conn.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"head {run} {new.number}"})
    return digest


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
    """Those whose weights are still there."""
    return [Version(number) for number in conn.execute(_KEPT, {"run": run}).scalars()]


def last_remembered(conn: Connection, *, run: RunId, up_to: Version) -> Version | None:
    """The newest version whose optimizer's state is written down."""
    found: int | None = conn.execute(_LAST_REMEMBERED, {"run": run, "up_to": up_to}).scalar_one()
    return None if found is None else Version(found)


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


def forget_parts(conn: Connection, *, run: RunId, kind: Kind, before: Version, spared: Version | None = None) -> int:
    """Frees old versions' bytes, except keepers' and those of `spared`; their records stay."""
    values = {"run": run, "kind": kind, "before": before, "spared": spared}
    return conn.execute(_FORGET_PARTS, values).rowcount


def digest_of(parts: Sequence[Part]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _published_by_another(version: Version) -> LeadershipLost:
    return LeadershipLost(f"version {version} was published by another coordinator; this one reads the run again")
