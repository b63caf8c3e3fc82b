from __future__ import annotations

import datetime

from contract.ids import WorkerId
from coordinator.contributions import contributions
from coordinator.ledger.people import RosterLine
from coordinator.ledger.views import Acceptance, Place, SentBytes

NOON = datetime.datetime(2026, 11, 28, 12, 0, tzinfo=datetime.UTC)


def place(volunteer: str, number: int, num_samples: int) -> Place:
    return Place(
        place=number, volunteer=volunteer, display_name=volunteer.title(), num_units_merged=num_samples // 10,
        num_samples_merged=num_samples, share_of_run=num_samples / 300, seconds_computing=5400.0, share_accepted=0.5,
        num_workers=0, is_present=False, first_at=NOON - datetime.timedelta(days=2), last_at=NOON,
    )  # fmt: skip


def accepted(volunteer: str, worker: int) -> Acceptance:
    return Acceptance(
        volunteer=volunteer, worker=WorkerId(worker), num_submitted=10, num_merged=5, num_stale=2, num_refused=1,
        num_late=2, share_accepted=0.5, mean_staleness=0.0, num_samples_merged=50,
    )  # fmt: skip


def sent(volunteer: str, worker: int) -> SentBytes:
    return SentBytes(
        volunteer=volunteer, worker=WorkerId(worker), num_gradients=1, raw_bytes=9, coded_bytes=8, sent_bytes=7
    )


def on_roster(name: str, display_name: str | None = None) -> RosterLine:
    return RosterLine(
        name=name, display_name=display_name, invited_at=NOON, revoked_at=None, num_workers=0, last_seen_at=None
    )


def test_what_a_person_did_on_several_computers_is_one_line() -> None:
    (line,) = contributions(
        places=[place("ada", 1, 300)],
        accepted=[accepted("ada", 1), accepted("ada", 2), accepted("bob", 3)],
        sent=[sent("ada", 1), sent("ada", 2), sent("bob", 3)],
    )
    assert (line.num_units_submitted, line.num_stale, line.num_refused, line.num_late) == (20, 4, 2, 4)
    assert (line.sent_bytes, line.hours_computing, line.num_samples_merged) == (14, 1.5, 300)


def test_days_are_of_this_computers_calendar() -> None:
    (line,) = contributions(places=[place("ada", 1, 300)], accepted=[], sent=[])
    today = NOON.astimezone().date()
    assert (line.first_day, line.last_day) == (today - datetime.timedelta(days=2), today)


def test_who_was_invited_and_did_nothing_is_in_the_record() -> None:
    lines = contributions(
        places=[place("ada", 1, 200), place("bob", 2, 100)], accepted=[], sent=[],
        invited=[on_roster("ada"), on_roster("zoe", "Zoë"), on_roster("lin")],
    )  # fmt: skip
    assert [(line.place, line.volunteer, line.display_name) for line in lines] == [
        (1, "ada", "Ada"), (2, "bob", "Bob"), (None, "zoe", "Zoë"), (None, "lin", "lin"),
    ]  # fmt: skip
    assert (lines[2].num_samples_merged, lines[2].hours_computing, lines[2].first_day) == (0, 0.0, None)
