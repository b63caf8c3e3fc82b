"""Which of a run's metrics are drawn together, and what the panels are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from contract.ids import Version
from coordinator.pictures import Line, Panel

# By name, the oldest version first.
Metrics = Mapping[str, Sequence[tuple[Version, float]]]

_OPINIONS: Final = {"d_x": "real images", "d_g_z": "drawn images"}


def losses(metrics: Metrics) -> list[Panel]:
    """What the volunteers' gradients said of themselves."""
    names = [name for name in metrics if name.startswith("loss")]
    opinions = [name for name in metrics if name in _OPINIONS]
    panels = []
    if names:
        panels.append(Panel(title="losses", lines=[line(metrics, name, smoothed=True) for name in names]))
    if opinions:
        lines = [dataclasses.replace(line(metrics, name, smoothed=True), name=_OPINIONS[name]) for name in opinions]
        panels.append(Panel(title="how real the discriminator finds them", lines=lines))
    return panels


def line(metrics: Metrics, name: str, *, smoothed: bool) -> Line:
    points = metrics[name]
    return Line(
        name=name,
        xs=[version for version, _ in points],
        ys=[value for _, value in points],
        smoothed=smoothed,
    )
