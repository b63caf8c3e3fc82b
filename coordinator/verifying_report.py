"""What `coordinator ledger verify` found, in lines for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from coordinator.verifying import Sum, Verified


def lines(found: Verified, *, people: bool = False) -> Iterator[str]:
    """Of the sound part; what is broken is the error's to say."""
    if found.head is None:
        yield f"run {found.run}: no link is sound" if found.broken else f"run {found.run}: nothing was merged yet"
    else:
        state, end = ("the chain is whole", "head") if found.broken is None else ("sound", "last sound one")
        yield f"run {found.run}: {state}: {_extent(found.whole)} ({found.seconds:.1f} s)"
        yield f"{end}: link {found.head.number}, {found.head.hash.hex()}"
    if not found.is_compared:
        yield "checked link by link; comparing them with the merges takes the configuration of the run's owner"
    for sought in found.sought:
        if sought.number is not None:
            yield f"expected {sought.digits}: link {sought.number}, unchanged up to there since it was written down"
    if people:
        for volunteer, total in _largest_first(found):
            yield f"{volunteer}: {_extent(total)}"


def problem(found: Verified) -> str | None:
    if found.broken is not None:
        return f"run {found.run}: {found.broken}"
    if found.lost:
        digits = ", ".join(sought.digits for sought in found.lost)
        return (
            f"run {found.run}: no link has the hash {digits}; the end of the chain was cut off, or the chain was made "
            "anew, since that was written down"
        )
    return None


def as_json(found: Verified) -> str:
    broken = found.broken
    values = {
        "run": found.run,
        "whole": found.is_whole,
        "compared": found.is_compared,
        **dataclasses.asdict(found.whole),
        "volunteers": {volunteer: dataclasses.asdict(total) for volunteer, total in _largest_first(found)},
        "head": None if found.head is None else {"number": found.head.number, "hash": found.head.hash.hex()},
        "broken": None if broken is None else {"number": broken.number, "differs": list(broken.differs)},
        "expected": {sought.digits: sought.number for sought in found.sought},
        "seconds": round(found.seconds, 3),
    }
    return json.dumps(values, indent=2)


def _largest_first(found: Verified) -> list[tuple[str, Sum]]:
    return sorted(found.by_volunteer.items(), key=lambda one: (-one[1].num_samples, one[0]))


def _extent(total: Sum) -> str:
    links = "1 contribution" if total.num_links == 1 else f"{total.num_links} contributions"
    return f"{links}, {total.num_samples} samples"
