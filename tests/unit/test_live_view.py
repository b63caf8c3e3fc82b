from __future__ import annotations

import datetime
import io

import numpy
import pytest
from rich.console import Console

from contract.ids import Version, WorkerId
from contract.states import RunState
from coordinator.durations import in_words
from coordinator.ledger.views import LoggedEvent
from coordinator.ledger.watching import Curve, RunNow, Snapshot, WorkerNow
from coordinator.live_view import Countdown, Note, Order, Scene, draw
from coordinator.sparklines import Pixels, sparkline, thumbnails

NOON = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)
IMAGES: Pixels = numpy.random.default_rng(0).integers(0, 256, (36, 32, 32, 1), dtype=numpy.uint8)
SIZES = pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (200, 60)])


def run(**changes: object) -> RunNow:
    values: dict[str, object] = {
        "name": "class", "state": RunState.RUNNING, "reason": None, "mode": "sync", "workload": "dcgan",
        "head_version": Version(1234), "num_epochs": 4, "num_samples": 1000, "num_samples_merged": 1500,
        "num_units_merged": 77, "samples_merged_per_second": 10.0, "num_open": 1, "num_leased": 2, "num_landed": 2,
        "num_wanted": 3, "num_workers": 3, "led_from": "tower",
    }  # fmt: skip
    return RunNow(**{**values, **changes})  # type: ignore[arg-type]


def worker(person: str, **changes: object) -> WorkerNow:
    values: dict[str, object] = {
        "worker": WorkerId(1), "device": "cpu", "phase": "computing", "is_here": True, "is_heard": True,
        "seen_ago_seconds": 1.0, "samples_per_second": 321.0, "num_delivered": 10, "num_merged": 9, "num_refused": 1,
    }  # fmt: skip
    return WorkerNow(person=person, **{**values, **changes})  # type: ignore[arg-type]


def snapshot(
    *, now: RunNow | None = None, workers: tuple[WorkerNow, ...] = (), events: tuple[LoggedEvent, ...] = (),
    took_part: tuple[str, ...] = (),
) -> Snapshot:  # fmt: skip
    names = ("loss_d", "loss_g", "d_x", "d_g_z")
    curves = tuple(Curve(name=name, values=tuple(1 / (n + 1) for n in range(120))) for name in names)
    return Snapshot(at=NOON, run=now or run(), curves=curves, workers=workers, events=events, took_part=took_part)


def event(subject: str, new_state: str, **changes: object) -> LoggedEvent:
    values: dict[str, object] = {
        "event": 1, "at": NOON, "run": "class", "subject_id": 7, "old_state": None, "since": None, "volunteer": "ada",
        "display_name": "ada", "worker": 1, "reason": None,
    }  # fmt: skip
    return LoggedEvent(subject=subject, new_state=new_state, **{**values, **changes})  # type: ignore[arg-type]


def shown(scene: Scene, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(draw(scene, width=width, height=height))
    return capture.get().rstrip("\n").split("\n")


@SIZES
@pytest.mark.parametrize("images", [None, IMAGES])
@pytest.mark.parametrize("num_workers", [0, 3, 200])
def test_it_fills_the_screen_and_no_more(width: int, height: int, images: Pixels | None, num_workers: int) -> None:
    workers = tuple(worker(f"person {n}") for n in range(num_workers))
    lines = shown(Scene(snapshot=snapshot(workers=workers), address="here", images=images), width, height)
    assert len(lines) == height
    assert {len(line) for line in lines} == {width}
    # Every panel is closed: nothing was cut off.
    assert sum(line.count("╮") for line in lines) == sum(line.count("╯") for line in lines)


def test_the_narrowest_screen_shows_large_numbers_whole() -> None:
    now = run(num_units_merged=1_234_567)
    text = "\n".join(shown(Scene(snapshot=snapshot(now=now, workers=(worker("ada"),)), address="here")))
    assert "1,234,567 units merged   321 samples/s" in text


@SIZES
def test_three_workers_are_seen_on_any_screen(width: int, height: int) -> None:
    workers = (worker("ada"), worker("grace"), worker("alan"))
    text = "\n".join(shown(Scene(snapshot=snapshot(workers=workers), address="here", images=IMAGES), width, height))
    assert all(name in text for name in ("ada", "grace", "alan"))


def test_the_head_tells_where_the_run_stands() -> None:
    text = "\n".join(shown(Scene(snapshot=snapshot(), address="10.0.0.1 port 5432"), width=120))
    assert "class: dcgan, sync  running" in text
    assert "version 1,234, epoch 2 of 4, 38%, 4 min to go" in text
    assert "next version ●●○  2 of 3 gradients   77 units merged   0 samples/s" in text
    assert "volunteers connect to 10.0.0.1 port 5432" in text


def test_a_run_that_ends_with_the_clock_counts_down() -> None:
    countdown = Countdown(total_seconds=45, left_seconds=12)
    assert "version 1,234, 12 s to go" in "\n".join(
        shown(Scene(snapshot=snapshot(), address="here", countdown=countdown))
    )


def test_a_paused_run_says_why() -> None:
    paused = run(state=RunState.PAUSED, reason="lunch", samples_merged_per_second=None)
    text = "\n".join(shown(Scene(snapshot=snapshot(now=paused), address="here")))
    assert "paused (lunch)" in text
    assert "to go" not in text


def test_who_is_silent_and_who_left_is_seen() -> None:
    workers = (
        worker("ada"),
        worker("bob", is_heard=False, seen_ago_seconds=200.0, samples_per_second=None),
        worker("cleo", is_here=False, num_merged=0, num_refused=0),
    )
    seen = snapshot(now=run(num_workers=1), workers=workers)
    text = "\n".join(shown(Scene(snapshot=seen, address="here"), height=30))
    assert "workers: 1 here" in text
    assert "computing" in text
    assert "90%" in text
    assert "silent for 3 min" in text
    assert "left" in text


@pytest.mark.parametrize(
    ("state", "took_part", "said"),
    [
        (RunState.RUNNING, (), "nobody is here yet; the volunteers run `worker join`"),
        (RunState.RUNNING, ("ada",), "nobody is here any more (ada); the volunteers run `worker join`"),
        (RunState.FINISHED, ("ada", "bob"), "the run is finished, nobody is here any more; who took part: ada, bob"),
        (RunState.FINISHED, (), "the run is finished, nobody is here any more"),
        (RunState.FAILED, ("ada",), "the run has failed, nobody is here any more; who took part: ada"),
    ],
)
def test_when_nobody_is_here_it_says_who_was(state: RunState, took_part: tuple[str, ...], said: str) -> None:
    seen = snapshot(now=run(state=state, num_workers=0), took_part=took_part)
    assert any(f"│ {said} " in line for line in shown(Scene(snapshot=seen)))


def test_a_class_too_large_for_the_screen_is_counted() -> None:
    workers = tuple(worker(f"person {n}") for n in range(50))
    lines = shown(Scene(snapshot=snapshot(workers=workers), address="here"), height=40)
    seen = sum("person" in line for line in lines)
    assert any(f"and {50 - seen} more" in line for line in lines)


def test_what_happened_stands_in_order_the_newest_last() -> None:
    later = NOON + datetime.timedelta(minutes=1)
    happened = (
        event("gradient", "rejected", at=later, reason="not finite"),
        event("unit", "failed", reason="out of memory"),
        event("worker", "joined"),
        event("run", "running"),
    )
    note = Note(at=later + datetime.timedelta(minutes=1), text="the database does not answer")
    lines = shown(Scene(snapshot=snapshot(events=happened), address="here", notes=(note,)), width=100, height=40)
    told = [line[11:].strip("│ ") for line in lines[lines.index(next(li for li in lines if "happened" in li)) + 1 :]]
    assert [line for line in told if line and "─" not in line] == [
        "unit 7 failed for good: out of memory",
        "ada joined",
        "the run is running",
        "a gradient of ada was refused: not finite",
        "the database does not answer",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (600, "10 min"), (3 * 3600, "3.0 h"), (4 * 86400, "4.0 days")]
)
def test_a_span_is_told_in_its_own_unit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_sparkline_goes_from_high_to_low() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], width=8) == ["█▇▆▅▄▃▂▁"]


def test_many_values_are_averaged_into_the_width() -> None:
    assert sparkline([0, 0, 7, 7, 0, 0, 7, 7], width=4) == ["▁█▁█"]


def test_a_high_sparkline_uses_all_its_lines() -> None:
    upper, lower = sparkline([0, 1], width=2, height=2)
    assert (upper, lower) == (" █", "▁█")


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_a_sparkline_of_little_is_no_error(values: list[float]) -> None:
    (line,) = sparkline(values, width=10)
    assert len(line) == len(values)


@pytest.mark.parametrize("side", [28, 32, 64])
def test_thumbnails_are_as_many_as_fit(side: int) -> None:
    images = numpy.zeros((36, side, side, 1), dtype=numpy.uint8)
    lines = thumbnails(images, width=50, height=17).plain.split("\n")
    assert len(lines) == 16
    assert all(line == " ".join(["▀" * 16] * 3) for line in lines)


def names_in_order(order: Order, workers: tuple[WorkerNow, ...]) -> list[str]:
    text = "\n".join(shown(Scene(snapshot=snapshot(workers=workers), order=order), height=40))
    return sorted((person.person for person in workers), key=lambda name: text.index(f" {name} "))


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (Order.ARRIVAL, ["Cleo", "ada", "bob", "gone"]),
        (Order.NAME, ["ada", "bob", "Cleo", "gone"]),
        (Order.SPEED, ["bob", "ada", "Cleo", "gone"]),
        (Order.UNITS, ["Cleo", "bob", "ada", "gone"]),
        (Order.ACCEPTED, ["ada", "bob", "Cleo", "gone"]),
    ],
)
def test_workers_are_sorted_as_asked_and_who_left_comes_last(order: Order, names: list[str]) -> None:
    workers = (
        worker("gone", worker=WorkerId(1), is_here=False, samples_per_second=999.0, num_delivered=99),
        worker("Cleo", worker=WorkerId(2), samples_per_second=None, num_delivered=30, num_merged=0, num_refused=0),
        worker("ada", worker=WorkerId(3), samples_per_second=100.0, num_delivered=10, num_merged=10, num_refused=0),
        worker("bob", worker=WorkerId(4), samples_per_second=200.0, num_delivered=20, num_merged=1, num_refused=1),
    )
    assert names_in_order(order, workers) == names


def test_pages_of_workers_show_everybody_once_and_go_round() -> None:
    workers = tuple(worker(f"person{n:03}", worker=WorkerId(n)) for n in range(50))

    def page(number: int) -> list[str]:
        scene = Scene(snapshot=snapshot(workers=workers), page=number, has_keys=True)
        return [line.split()[1] for line in shown(scene, height=40) if "person" in line]

    per_page = len(page(0))
    num_pages = -(-50 // per_page)
    assert [name for number in range(num_pages) for name in page(number)] == [person.person for person in workers]
    assert page(num_pages) == page(0)
    assert page(-1) == page(num_pages - 1)


@SIZES
def test_the_keys_stand_below_everything(width: int, height: int) -> None:
    scene = Scene(snapshot=snapshot(workers=(worker("ada"),)), has_keys=True, order=Order.SPEED)
    lines = shown(scene, width, height)
    assert len(lines) == height
    assert "quit" in lines[-1]
    assert "sorted by speed" in lines[-1]
    assert "next run" in lines[-1]


def test_who_looks_from_elsewhere_sees_who_leads() -> None:
    assert "led by the coordinator on tower" in "\n".join(shown(Scene(snapshot=snapshot())))
    alone = snapshot(now=run(led_from=None))
    assert "no coordinator leads it" in "\n".join(shown(Scene(snapshot=alone)))
    finished = snapshot(now=run(led_from=None, state=RunState.FINISHED))
    assert "leads" not in "\n".join(shown(Scene(snapshot=finished)))


def test_a_ledger_that_does_not_answer_is_told_and_a_short_hiccup_is_not() -> None:
    assert "has not answered for 2 min" in "\n".join(shown(Scene(snapshot=snapshot(), silent_seconds=120.0)))
    assert "has not answered" not in "\n".join(shown(Scene(snapshot=snapshot(), silent_seconds=1.0)))
