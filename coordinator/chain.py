"""The chain of contributions: what a link's hash covers, and what can be wrong with a link.

The database makes the hashes when it merges (migrations/functions/link_contribution_v1.sql). Here they are computed
a second time, from the description in docs/decisions/0027, so that a mistake in one place shows in the other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct

from contract.ids import GradientId, UnitId, Version, WorkerId

FORMAT = "barnraise contributions 1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One merged gradient. `sha256` is the gradient's; None in a private run. `merged_at` is in microseconds since 2000
    began in Greenwich, as PostgreSQL counts them."""

    number: int
    gradient: GradientId
    unit: UnitId
    attempt: int
    volunteer: str
    worker: WorkerId
    version: Version
    num_samples: int
    weight: float
    sha256: bytes | None
    merged_at: int
    previous: bytes
    hash: bytes


def anchor_of(run: str, seed: int) -> bytes:
    """What the first link names as the hash before it."""
    return hashlib.sha256(_with_length(FORMAT.encode()) + _with_length(run.encode()) + struct.pack(">q", seed)).digest()


def serialised(link: Link) -> bytes:
    """All of a link but its own hash. Every field has its place and says where it ends: no two links look the same."""
    return b"".join(
        (
            _with_length(link.previous),
            struct.pack(">qqqq", link.number, link.gradient, link.unit, link.attempt),
            _with_length(link.volunteer.encode()),
            struct.pack(">qqqd", link.worker, link.version, link.num_samples, link.weight),
            _with_length(link.sha256),
            struct.pack(">q", link.merged_at),
        )
    )


def hash_of(link: Link) -> bytes:
    return hashlib.sha256(serialised(link)).digest()


@dataclasses.dataclass(slots=True, kw_only=True)
class Walk:
    """Along a chain, from its anchor on: the last link that was passed."""

    number: int = 0
    hash: bytes

    def step(self, link: Link) -> list[str]:
        """What is wrong with the next link."""
        problems = []
        if link.number != self.number + 1:
            problems.append(f"its number is {link.number}, and it comes after {self._last()}")
        if link.previous != self.hash:
            problems.append(f"the hash it names as the one before is not that of {self._last()}")
        if link.hash != hash_of(link):
            problems.append("its hash is not that of what it says")
        self.number, self.hash = link.number, link.hash
        return problems

    def _last(self) -> str:
        return f"link {self.number}" if self.number else "the run's name and seed"


def _with_length(content: bytes | None) -> bytes:
    return struct.pack(">i", -1) if content is None else struct.pack(">i", len(content)) + content
