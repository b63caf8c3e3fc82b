"""The record to grade from: what each person contributed to a run. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

from coordinator.ledger.people import RosterLine
from coordinator.ledger.views import Acceptance, Place, SentBytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """`num_samples_merged` are the verified ones: they came in gradients that were looked at and moved the model.

    `share_accepted` is of the gradients whose fate is known. Days are of this computer's calendar. Who was invited and
    never joined has no place.
    """

    place: int | None
    volunteer: str
    display_name: str
    num_units_merged: int = 0
    num_samples_merged: int = 0
    share_of_run: float | None = None
    hours_computing: float = 0.0
    num_units_submitted: int = 0
    share_accepted: float | None = None
    num_stale: int = 0
    num_refused: int = 0
    num_late: int = 0
    sent_bytes: int = 0
    first_day: datetime.date | None = None
    last_day: datetime.date | None = None


def contributions(
    *,
    places: Iterable[Place],
    accepted: Sequence[Acceptance],
    sent: Sequence[SentBytes],
    invited: Iterable[RosterLine] = (),
) -> list[Contribution]:
    """In the order of the leaderboard; behind it, by name, who was invited and did nothing."""
    workers: dict[str, list[Acceptance]] = {}
    for worker in accepted:
        workers.setdefault(worker.volunteer, []).append(worker)
    num_bytes: dict[str, int] = {}
    for line in sent:
        num_bytes[line.volunteer] = num_bytes.get(line.volunteer, 0) + line.sent_bytes
    lines = [_line(place, workers.get(place.volunteer, []), num_bytes.get(place.volunteer, 0)) for place in places]
    known = {line.volunteer for line in lines}
    return lines + [
        Contribution(place=None, volunteer=person.name, display_name=person.display_name or person.name)
        for person in invited
        if person.name not in known
    ]


def _line(place: Place, workers: Iterable[Acceptance], num_bytes: int) -> Contribution:
    workers = list(workers)
    return Contribution(
        place=place.place,
        volunteer=place.volunteer,
        display_name=place.display_name,
        num_units_merged=place.num_units_merged,
        num_samples_merged=place.num_samples_merged,
        share_of_run=_rounded(place.share_of_run),
        hours_computing=round(place.seconds_computing / 3600, 4),
        num_units_submitted=sum(worker.num_submitted for worker in workers),
        share_accepted=_rounded(place.share_accepted),
        num_stale=sum(worker.num_stale for worker in workers),
        num_refused=sum(worker.num_refused for worker in workers),
        num_late=sum(worker.num_late for worker in workers),
        sent_bytes=num_bytes,
        first_day=_day(place.first_at),
        last_day=_day(place.last_at),
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _day(at: datetime.datetime | None) -> datetime.date | None:
    return None if at is None else at.astimezone().date()
