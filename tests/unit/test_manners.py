from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from contract.config import parse_config
from worker.manners import Hours, Manners, on_battery

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /sys")


def at(written: str) -> datetime.time:
    return datetime.time.fromisoformat(written)


@pytest.mark.parametrize(
    ("hours", "now", "holds"),
    [
        ("22:00-06:00", "21:59", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
        ("9-17", "08:59", False),
        ("9-17", "12:30", True),
        ("9-17", "17:00", False),
        ("22-7:30", "07:29", True),
        ("8-8", "03:00", True),
    ],
)
def test_hours_may_go_past_midnight(hours: str, now: str, holds: bool) -> None:
    assert Hours.parse(hours).hold(at(now)) is holds


def test_outside_its_hours_a_worker_rests_and_says_until_when() -> None:
    manners = Manners(hours=Hours.parse("22-7"))
    assert manners.why_rest(at("12:00"), on_battery=False) == "outside its hours 22:00-07:00; goes on at 22:00"
    assert manners.why_rest(at("23:00"), on_battery=True) is None


def test_on_its_battery_a_worker_rests_where_that_is_wanted() -> None:
    assert Manners(pause_on_battery=True).why_rest(at("12:00"), on_battery=True) is not None
    assert Manners(pause_on_battery=True).why_rest(at("12:00"), on_battery=False) is None
    assert Manners().why_rest(at("12:00"), on_battery=True) is None


def test_manners_come_from_the_configuration() -> None:
    config = parse_config("worker: {hours: 22-7, pause_on_battery: true}", source="test", environ={})
    assert Manners.of(config) == Manners(hours=Hours.parse("22:00-07:00"), pause_on_battery=True)


@LINUX
@pytest.mark.parametrize(("plugged", "unplugged"), [("1", False), ("0", True)])
def test_the_battery_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugged: str, unplugged: bool) -> None:
    for supply, file, content in (
        ("BAT0", "energy_now", "50"),
        ("BAT0", "energy_full", "100"),
        ("BAT0", "capacity", "50"),
        ("AC0", "online", plugged),
    ):
        (tmp_path / supply).mkdir(exist_ok=True)
        (tmp_path / supply / file).write_text(content)
    monkeypatch.setattr(psutil._pslinux, "POWER_SUPPLY_PATH", str(tmp_path))
    assert on_battery() is unplugged


@LINUX
def test_a_computer_without_a_battery_is_not_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil._pslinux, "POWER_SUPPLY_PATH", str(tmp_path))
    assert on_battery() is False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has classes instead of steps")
def test_others_go_first_and_threads_follow() -> None:
    code = """
import os, threading
from worker.manners import take_turns
before = os.getpriority(os.PRIO_PROCESS, 0)
take_turns(3)
found = []
thread = threading.Thread(target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
thread.start(); thread.join()
assert found == [min(19, before + 3)], (before, found)
take_turns(100)
assert os.getpriority(os.PRIO_PROCESS, 0) == 19
"""
    subprocess.run([sys.executable, "-c", code], check=True)
