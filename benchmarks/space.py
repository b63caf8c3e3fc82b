"""Does the database stay bounded? Rounds of uploads, merged and forgotten as the coordinator does it.

python -m benchmarks.space [--rounds 2000] [--gradients 16] [--kilobytes 4096]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, text

from benchmarks.server import bench_ledger, quiet_server
from benchmarks.table import Row, print_rows, print_table
from contract.ids import RunId, Version, WorkerId
from coordinator.duties.reap import Reap
from coordinator.ledger import contributions, gradients, units, versions
from worker import ledger as volunteer
from worker.ledger import Submission

LIMIT: Final = 3.0
_LINES: Final = 20

_SIZE = text("SELECT pg_database_size(current_database())")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`live` is what the database took when a round had been uploaded for the first time: no row had died yet."""

    round: int
    size: int
    live: int

    @property
    def ratio(self) -> float:
        return self.size / self.live


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """One worker uploads, the coordinator merges every gradient of a round into the next version."""

    owner: Engine
    volunteer: Engine
    run: RunId
    worker: WorkerId
    num_gradients: int
    gradient: bytes

    def measure(self, number: int) -> Iterator[Measured]:
        """After each round, when its blobs are forgotten and their pages free for the next ones."""
        live = 0
        for index in range(1, number + 1):
            size_at_fullest = self._upload()
            live = live or size_at_fullest
            self._merge(Version(index))
            yield Measured(round=index, size=self._size(), live=live)

    def _upload(self) -> int:
        with self.owner.begin() as conn:
            new = [units.NewUnit(epoch=0, first_sample=0, num_samples=10, seed=0)] * self.num_gradients
            units.open_units(conn, run=self.run, units=new)
        submission = Submission(
            codec="none",
            num_samples=10,
            num_parts=1,
            num_bytes=len(self.gradient),
            sha256=hashlib.sha256(self.gradient).digest(),
            losses={"loss": 0.5},
        )
        with self._as_volunteer() as conn:
            for _ in range(self.num_gradients):
                lease = volunteer.claim(conn, worker=self.worker)
                assert lease is not None
                volunteer.submit(conn, lease=lease, submission=submission, last_part=self.gradient)
        return self._size()

    def _merge(self, version: Version) -> None:
        with self.owner.begin() as conn:
            waiting = [one.gradient for one in gradients.waiting_gradients(conn, run=self.run)]
            assert len(waiting) == self.num_gradients
            new = versions.NewVersion(
                number=version, parent=None, manifest="{}", optimizer_step=version, parts=[b"weights"]
            )
            versions.publish_version(conn, run=self.run, new=new)
            gradients.mark_merged(
                conn, run=self.run, version=version, gradients=waiting, weights=[1.0] * self.num_gradients
            )
            contributions.link_merged(conn, gradients=waiting)
        with self.owner.begin() as conn:
            gradients.forget_blobs(conn, run=self.run, up_to=version)
        gradients.reclaim_space(self.owner)
        Reap(engine=self.owner, run=self.run).run_once()

    def _size(self) -> int:
        with self.owner.connect() as conn:
            return int(conn.execute(_SIZE).scalar_one())

    @contextlib.contextmanager
    def _as_volunteer(self) -> Iterator[Connection]:
        with self.volunteer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            yield conn


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.space", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--gradients", type=int, default=16, help="in a round")
    parser.add_argument("--kilobytes", type=int, default=4096, help="of a gradient")
    given = parser.parse_args(arguments)
    with quiet_server() as server, bench_ledger(server) as ledger, ledger.volunteer() as engine:
        rounds = Rounds(
            owner=ledger.owner,
            volunteer=engine,
            run=ledger.run,
            worker=WorkerId(ledger.workers.start),
            num_gradients=given.gradients,
            gradient=secrets.token_bytes(given.kilobytes << 10),
        )
        begin = time.monotonic()
        measured = list(rounds.measure(given.rounds))
        seconds = (time.monotonic() - begin) / given.rounds
    shown = [one for one in measured if one.round == 1 or one.round % max(1, given.rounds // _LINES) == 0]
    lines = [[f"{one.round:,}", _megabytes(one.size), _megabytes(one.live), f"{one.ratio:.2f}"] for one in shown]
    print_table("The database over the rounds", ("after round", "size", "live", "ratio"), lines)
    largest = max(measured, key=lambda one: one.ratio)
    print_rows(
        "Space",
        [
            Row(
                question=f"{given.rounds:,} rounds of {given.gradients} x {given.kilobytes:,} kB, at its largest",
                measured=_megabytes(largest.size),
                against=f"live {_megabytes(largest.live)}",
                ratio=largest.ratio,
                at_most=LIMIT,
            )
        ],
        [f"{seconds:.2f} s per round of uploads, merge, DELETE and VACUUM; autovacuum as shipped."],
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


if __name__ == "__main__":
    main()
