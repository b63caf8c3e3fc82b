"""What is wrong with a run, as far as the ledger can tell, and what to do. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import Final

from contract.states import RunState
from coordinator.durations import in_words
from coordinator.ledger.views import HealthItem, Leading, Progress, SeenPush, StalledUnit, Suspect, Timing

# A run of large units is silent for a while; one that merged nothing for this long is worth a look.
_LONG_WITHOUT_MERGE_SECONDS: Final = 600.0
_TIMES_AS_LONG_AS_USUAL: Final = 5
_LONG_WITHOUT_PUSH_SECONDS: Final = 600.0
_MOST_NAMED: Final = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    what: str
    do: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What to judge by. `push_interval` is None where nothing is pushed."""

    at: datetime.datetime
    progress: Progress
    leading: Leading | None
    stalled: Sequence[StalledUnit] = ()
    suspects: Sequence[Suspect] = ()
    timings: Sequence[Timing] = ()
    health: Sequence[HealthItem] = ()
    push_interval: int | None = None
    last_push: SeenPush | None = None


def ailments(signs: Signs) -> list[Ailment]:
    """What stops the run first."""
    return [*_standing(signs), *_work(signs), *_people(signs), *_database(signs), *_pushes(signs)]


def _standing(signs: Signs) -> Iterator[Ailment]:
    run = signs.progress
    why = f": {run.state_reason}" if run.state_reason else ""
    if run.state == RunState.FAILED:
        yield Ailment(what=f"the run has failed{why}", do="mend that, then `coordinator start` goes on")
    if run.state == RunState.PAUSED:
        yield Ailment(what=f"the run rests, nothing is handed out or merged{why}", do="`coordinator resume` goes on")
    if run.state in (RunState.RUNNING, RunState.PAUSED) and not _is_led(signs):
        last = f" (the last one was on {signs.leading.host})" if signs.leading and signs.leading.host else ""
        yield Ailment(
            what=f"no coordinator leads the run{last}; nothing is handed out or merged, workers wait",
            do="`coordinator start` leads it, on any computer that has the configuration",
        )
    if run.state == RunState.RUNNING and not run.num_workers:
        yield Ailment(
            what="no worker is here",
            do="volunteers run `worker join`; `coordinator invite NAME` invites more of them",
        )


def _work(signs: Signs) -> Iterator[Ailment]:
    run = signs.progress
    if run.state == RunState.RUNNING and run.num_workers and _is_led(signs) and run.head_since is not None:
        usual = max((timing.p95_seconds for timing in signs.timings if timing.step == "compute"), default=0.0)
        silent = (signs.at - run.head_since).total_seconds()
        if silent > max(_LONG_WITHOUT_MERGE_SECONDS, _TIMES_AS_LONG_AS_USUAL * usual):
            yield Ailment(
                what=f"workers are here, and nothing was merged for {in_words(silent)}",
                do="`coordinator events` says what fails; the coordinator's terminal says what it waits for",
            )
    for why in dict.fromkeys(unit.why for unit in signs.stalled):
        held = [unit for unit in signs.stalled if unit.why == why]
        # The database gives its reason for one unit.
        because = "because" if len(held) == 1 else "each because"
        yield Ailment(
            what=f"{_counted(len(held), 'unit')} at a standstill, {because} {why}: "
            + _some([f"{unit.unit} ({unit.volunteer or 'somebody'})" for unit in held]),
            do="nothing: when its lease ends another worker computes it"
            if len(held) == 1
            else "nothing: when their leases end other workers compute them",
        )
    if run.num_failed:
        yield Ailment(
            what=f"{_counted(run.num_failed, 'unit')} failed for good; the samples are left out of the epoch",
            do="`coordinator events` says why",
        )


def _people(signs: Signs) -> Iterator[Ailment]:
    for suspect in signs.suspects[:_MOST_NAMED]:
        yield Ailment(
            what=f"{suspect.volunteer} ({suspect.worker_name}): {suspect.why}",
            do=f"ask {suspect.volunteer} what runs there; `coordinator revoke {suspect.volunteer}` ends it",
        )
    if len(signs.suspects) > _MOST_NAMED:
        more = len(signs.suspects) - _MOST_NAMED
        yield Ailment(
            what=f"{_counted(more, 'more worker')} {'is' if more == 1 else 'are'} to be looked at",
            do="`coordinator status --json` lists all of them",
        )


def _database(signs: Signs) -> Iterator[Ailment]:
    for item in signs.health:
        if not item.is_fine:
            yield Ailment(what=f"the database: {item.item} is at {item.value:,.0f} {item.unit}", do=item.note)


def _pushes(signs: Signs) -> Iterator[Ailment]:
    head, every, last = signs.progress.head_version, signs.push_interval, signs.last_push
    since = signs.progress.started_at if last is None else last.at
    if head is None or every is None or since is None:
        return
    waited = (signs.at - since).total_seconds()
    if head - (0 if last is None else last.version) >= every and waited > _LONG_WITHOUT_PUSH_SECONDS:
        there = "nothing of this run" if last is None else f"version {last.version:,}, for {in_words(waited)}"
        yield Ailment(
            what=f"the Hub has {there}; the run is at version {head:,}",
            do="the coordinator's terminal says why pushing fails; `coordinator push` tries at once",
        )


def _is_led(signs: Signs) -> bool:
    return signs.leading is not None and signs.leading.is_leading


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
