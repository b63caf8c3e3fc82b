"""`coordinator ledger verify`: is the chain of contributions what it was? Nothing is written."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine

from contract.ids import GradientId
from coordinator.chain import Link, Walk, anchor_of
from coordinator.ledger import contributions, records, runs
from coordinator.ledger.contributions import Merged, OtherwiseMerged
from coordinator.ledger.runs import RunRecord

_GRADIENTS_NAMED = 5
_YEAR_2000 = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    number: int
    hash: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first link that is not what it was; None where a merge has no link at all."""

    number: int | None
    differs: Sequence[str]

    def __str__(self) -> str:
        said = "; ".join(self.differs)
        return said if self.number is None else f"the first broken link is {self.number}: {said}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The beginning of a hash that somebody wrote down, and the sound link that has it."""

    digits: str
    number: int | None


@dataclasses.dataclass(slots=True)
class Sum:
    num_links: int = 0
    num_samples: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`head`, `whole` and `by_volunteer` are of the sound part. `is_compared` with the merges, too: what a volunteer or
    an observer may read are the links alone."""

    run: str
    head: Head | None
    whole: Sum
    by_volunteer: Mapping[str, Sum]
    broken: Broken | None
    sought: Sequence[Sought]
    is_compared: bool
    seconds: float

    @property
    def is_whole(self) -> bool:
        return self.broken is None

    @property
    def lost(self) -> list[Sought]:
        return [one for one in self.sought if one.number is None]


def verify(engine: Engine, *, run: str, expected: Sequence[str] = ()) -> Verified:
    """`expected` are hashes, or beginnings of hashes, of links that there once were."""
    began = time.monotonic()
    # One snapshot: a leader may merge meanwhile. And the server sees to it that nothing is written.
    snapshot = engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot as conn, conn.begin():
        sound = _Sound(expected)
        is_compared = records.sees_everything(conn)
        broken = _first_broken(conn, run, sound) if is_compared else _first_broken_for_all_to_see(conn, run, sound)
    return Verified(
        run=run,
        head=sound.head,
        whole=sound.whole,
        by_volunteer=sound.by_volunteer,
        broken=broken,
        sought=[Sought(digits=digits, number=number) for digits, number in sound.sought.items()],
        is_compared=is_compared,
        seconds=time.monotonic() - began,
    )


class _Sound:
    """What was found up to a link."""

    def __init__(self, expected: Sequence[str]) -> None:
        self.head: Head | None = None
        self.whole = Sum()
        self.by_volunteer: dict[str, Sum] = {}
        self.sought: dict[str, int | None] = dict.fromkeys(expected)

    def add(self, link: Link) -> None:
        self.head = Head(number=link.number, hash=link.hash)
        for total in (self.whole, self.by_volunteer.setdefault(link.volunteer, Sum())):
            total.num_links += 1
            total.num_samples += link.num_samples
        if self.sought:
            digits = link.hash.hex()
            self.sought.update({sought: link.number for sought in self.sought if digits.startswith(sought)})


def _first_broken(conn: Connection, run: str, sound: _Sound) -> Broken | None:
    record = runs.read_run(conn, name=run)
    is_private = record.training.get("privacy") is not None
    walk = Walk(hash=anchor_of(record.name, record.seed))
    for link, agrees in contributions.stream_links(conn, run=record.run, is_private=is_private):
        differs: list[str] = []
        if not agrees:
            merged = contributions.find_merged(conn, gradient=link.gradient)
            assert merged is not None
            differs = _differences(link, merged, record.name, is_private=is_private)
        if (broken := _broken(walk, link, differs)) is not None:
            return broken
        sound.add(link)
    return _first_merge_without_links(conn, record)


def _first_broken_for_all_to_see(conn: Connection, run: str, sound: _Sound) -> Broken | None:
    records.require_run(conn, run=run)
    walk = Walk(hash=anchor_of(run, contributions.shown_seed(conn, run=run)))
    for link in contributions.stream_shown_links(conn, run=run):
        if (broken := _broken(walk, link)) is not None:
            return broken
        sound.add(link)
    return None


def _broken(walk: Walk, link: Link, differs: Sequence[str] = ()) -> Broken | None:
    """The next link of the walk, and what else is known to be wrong with it."""
    missing = walk.number + 1
    if link.number > missing:
        return Broken(number=missing, differs=[f"it is missing, link {link.number} comes next"])
    found = [*walk.step(link), *differs]
    return Broken(number=link.number, differs=found) if found else None


def _differences(link: Link, merged: Merged, run: str, *, is_private: bool) -> list[str]:
    """Each as what the link says, and what the ledger says of the gradient that the link names."""
    gradient_sha256 = None if is_private else merged.sha256
    fields: list[tuple[str, object, object]] = [
        ("run", run, merged.run),
        ("state", "merged", merged.state),
        ("unit", link.unit, merged.unit),
        ("attempt", link.attempt, merged.attempt),
        ("volunteer", link.volunteer, merged.volunteer or link.volunteer),
        ("worker", link.worker, merged.worker),
        ("version", link.version, merged.version),
        ("samples", link.num_samples, merged.num_samples),
        ("weight", link.weight, merged.weight),
        ("sha256", link.sha256, gradient_sha256),
        ("merged at", _moment(link.merged_at), _moment(merged.merged_at)),
    ]
    return [
        f"{name}: the link says {_shown(said)}, gradient {link.gradient} has {_shown(found)}"
        for name, said, found in fields
        if said != found
    ]


def _first_merge_without_links(conn: Connection, record: RunRecord) -> Broken | None:
    unlinked = contributions.first_unlinked(conn, run=record.run)
    if unlinked is not None:
        gradient, version = unlinked
        return Broken(number=None, differs=[f"gradient {gradient} was merged into version {version} and has no link"])
    otherwise = contributions.first_otherwise_merged(conn, run=record.run)
    return None if otherwise is None else Broken(number=otherwise.first_link, differs=[_otherwise(otherwise)])


def _otherwise(found: OtherwiseMerged) -> str:
    version = f"version {found.version}"
    if list(found.linked) == list(found.merged):
        return f"the checksums of {version}'s links are not those that its merge was recorded with"
    linked, merged = _named(found.linked), _named(found.merged)
    return f"the links of {version} name {linked}, its merge was recorded with {merged}"


def _named(gradients: Sequence[GradientId]) -> str:
    if not gradients:
        return "no gradient"
    more = len(gradients) - _GRADIENTS_NAMED
    named = ", ".join(map(str, gradients[:_GRADIENTS_NAMED])) + (f" and {more} more" if more > 0 else "")
    return f"{'gradient' if len(gradients) == 1 else 'gradients'} {named}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return value.hex() if isinstance(value, bytes) else str(value)


def _moment(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    try:
        return (_YEAR_2000 + datetime.timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:
        return "a moment that no calendar has"
