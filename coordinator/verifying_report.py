"""What `coordinator ledger verify` found, in lines for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

from coordinator.verifying import Verified


def lines(found: Verified) -> Iterator[str]:
    """Of the sound part; what is broken is the error's to say."""
    if found.head is None:
        yield f"run {found.run}: no sound link" if found.broken else f"run {found.run}: nothing was merged yet"
    else:
        extent = "1 contribution" if found.num_links == 1 else f"{found.num_links} contributions"
        are = "is" if found.num_links == 1 else "are"
        sound = f"the chain is whole, {extent}" if found.broken is None else f"{extent} {are} sound"
        yield f"run {found.run}: {sound}, {found.num_samples} samples ({found.seconds:.1f} s)"
        yield f"head: link {found.head.number}, {found.head.hash.hex()}"
    for sought in found.sought:
        if sought.number is not None:
            yield f"expected {sought.digits}: link {sought.number}, unchanged up to there since it was written down"


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
        "num_links": found.num_links,
        "num_samples": found.num_samples,
        "head": None if found.head is None else {"number": found.head.number, "hash": found.head.hash.hex()},
        "broken": None if broken is None else {"number": broken.number, "differs": list(broken.differs)},
        "expected": {sought.digits: sought.number for sought in found.sought},
        "seconds": round(found.seconds, 3),
    }
    return json.dumps(values, indent=2)
