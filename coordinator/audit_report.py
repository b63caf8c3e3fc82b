"""What an audit of a merge found, as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from coordinator.audit import Line, Replayed, WhatIf
from coordinator.recipe import Recipe

_SHORT_DIGEST = 12


def show_replayed(found: Replayed, console: Console) -> None:
    gradients = "1 gradient" if found.num_gradients == 1 else f"{found.num_gradients} gradients"
    lines = [
        f"version {found.version}: {gradients} combined by {in_words(found.recipe)}, computed again from version "
        f"{found.remembered} on",
        f"  what went in:   {'as recorded' if found.inputs_agree else 'NOT what was recorded'}",
        f"  what came out:  {_digest(found.found)}, {_compared(found)}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_what_if(found: WhatIf, console: Console) -> None:
    own, other = in_words(found.recipe), in_words(found.other)
    groups = list(found.distances)
    table = Table(box=None, pad_edge=False, title=f"version {found.version}", title_justify="left")
    table.add_column("gradient", justify="right")
    table.add_column("volunteer", overflow="fold")
    table.add_column("samples", justify="right")
    for group in groups:
        of_group = "" if len(groups) == 1 else f"\n{group}"
        table.add_column(f"share by {own}{of_group}", justify="right")
        table.add_column(f"by {other}{of_group}", justify="right")
    for line in found.lines:
        shares = (f"{share:.1%}" for group in groups for share in (line.had[group], line.would_have[group]))
        table.add_row(str(line.gradient), line.volunteer, str(line.num_samples), *shares)
    console.print(table)
    for group, distance in found.distances.items():
        said = f"{group}: the aggregate of {other} would have {_in_numbers(distance.length)} times the length"
        said += f", at a cosine of {_in_numbers(distance.cosine)}"
        said += f"; the two are {_in_numbers(distance.difference)} lengths apart"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    for rule, dropped in ((own, found.dropped_by_own), (other, found.dropped_by_other)):
        said = f"without a share by {rule}: {_names(dropped)}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)


def replayed_as_json(found: Replayed) -> str:
    return _as_json(
        {
            "version": found.version,
            **_recorded(found.recipe),
            "num_gradients": found.num_gradients,
            "computed_from": found.remembered,
            "inputs_agree": found.inputs_agree,
            "recorded_sha256": found.recorded.hex(),
            "found_sha256": found.found.hex(),
            "largest_difference": found.largest_difference,
            "agrees": found.agrees,
        }
    )


def what_if_as_json(found: WhatIf) -> str:
    return _as_json(
        {
            "version": found.version,
            **_recorded(found.recipe),
            "other": _recorded(found.other),
            "gradients": [
                {
                    "gradient": line.gradient,
                    "volunteer": line.volunteer,
                    "num_samples": line.num_samples,
                    "had": line.had,
                    "would_have": line.would_have,
                }
                for line in found.lines
            ],
            "distances": {
                group: {
                    "cosine": _number(distance.cosine),
                    "length": _number(distance.length),
                    "difference": _number(distance.difference),
                }
                for group, distance in found.distances.items()
            },
        }
    )


def in_words(recipe: Recipe) -> str:
    return "+".join([*(one.name for one in recipe.before), recipe.rule.name])


def _recorded(recipe: Recipe) -> dict[str, Any]:
    return {"rule": recipe.rule.name, **recipe.record()}


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _in_numbers(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "no"


def _digest(sha256: bytes) -> str:
    return f"sha256 {sha256.hex()[:_SHORT_DIGEST]}"


def _compared(found: Replayed) -> str:
    if found.found == found.recorded:
        return "as recorded"
    said = f"NOT the {_digest(found.recorded)} that was recorded"
    if found.largest_difference is None:
        return f"{said}; the weights that were published are not there any more"
    return (
        f"{said}; the weights that were published differ by {found.largest_difference:.2g} at most (another machine, "
        "or another torch, may add up with other last bits)"
    )


def _names(lines: Sequence[Line]) -> str:
    return ", ".join(sorted({line.volunteer for line in lines})) or "nobody"
