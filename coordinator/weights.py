"""The weights of a version, from what the ledger has of the way to it: a whole version, and the deltas after it."""

from __future__ import annotations

from sqlalchemy import Connection

from contract.errors import BlobError, NotFound
from contract.ids import RunId, Version
from contract.tensors import sha256, unpack
from coordinator.ledger import versions
from coordinator.ledger.runs import RunRecord
from coordinator.mathematics import Mathematics


def read_weights(conn: Connection, *, run: RunId, version: Version, how: Mathematics) -> bytearray | None:
    """None where they were pruned, BlobError where what is there comes to something else than was published."""
    whole = versions.last_whole(conn, run=run, up_to=version)
    if whole is None:
        return None
    blob = bytearray().join(versions.read_parts(conn, run=run, version=whole, kind="weights"))
    if whole < version:
        if how.deltas is None:
            return None
        manifest = how.vectors.manifest
        weights = unpack(blob, manifest, max_bytes=manifest.blob_bytes)
        for number in range(whole + 1, version + 1):
            delta = b"".join(versions.read_parts(conn, run=run, version=Version(number), kind="delta"))
            if not delta:
                return None
            how.deltas.apply(delta, weights)
    if sha256(blob) != versions.find_version(conn, run=run, version=version).sha256:
        raise BlobError(f"the weights of version {version} are not what was published: the ledger is damaged")
    return blob


def require_weights(conn: Connection, record: RunRecord, *, version: Version, how: Mathematics) -> bytearray:
    """NotFound, with what there is instead, where there are none."""
    if version > record.head_version:
        raise NotFound(f"run {record.name} has no version {version} yet; the newest is {record.head_version}")
    weights = read_weights(conn, run=record.run, version=version, how=how)
    if weights is None:
        kept = ", ".join(map(str, versions.kept_versions(conn, run=record.run)))
        raise NotFound(
            f"the weights of version {version} of run {record.name} were pruned; these still exist: {kept} "
            "(coordinator.keep_versions decides how many)"
        )
    return weights
