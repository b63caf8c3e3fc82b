"""What a codec left out, on disk: found again after a restart, by one process only, and never by the wrong run."""

from __future__ import annotations

import dataclasses
import datetime
import os
import time
from collections import deque
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from contract.compressors.feedback import Residue
from contract.ids import RunId, UnitId, Version, WorkerId
from contract.states import RunState
from contract.tensors import Manifest
from contract.workloads.base import GradientResult
from tests.unit.trained import small
from tests.waiting import wait_until
from worker.feedback import ResidueFile, Sender, open_sender
from worker.ledger import Joined, Lease, Settled

TENSORS = {"w": torch.tensor([0.25, -1.5]), "b": torch.tensor([3.0])}
MANIFEST = Manifest.of(TENSORS)
RESIDUE = Residue(version=Version(7), tensors=TENSORS)
MLP = small("mlp")
JOINED = Joined(
    worker=WorkerId(1), run=RunId(1), run_state=RunState.RUNNING, mode="sync", workload="mlp", workload_options={},
    data={}, seed=0, head_version=Version(0),
    training={"codec": "fp16", "codec_options": {}, "feedback_decay": 0.95, "feedback_max_age": 20},
    lease_seconds=60, heartbeat_seconds=1, max_leases=1, max_part_bytes=1, max_gradient_bytes=1,
    run_created_at=datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC),
)  # fmt: skip


def taken(folder: Path, run: str = "run", manifest: Manifest = MANIFEST) -> ResidueFile:
    file = ResidueFile.take(folder, run, manifest, pytest.fail)
    assert file is not None
    return file


def leave(folder: Path, residue: Residue | None = RESIDUE, run: str = "run") -> None:
    file = taken(folder, run)
    file.keep(residue)
    file.close()


def found(folder: Path, run: str = "run", manifest: Manifest = MANIFEST) -> Residue | None:
    file = taken(folder, run, manifest)
    try:
        return file.read()
    finally:
        file.close()


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    leave(tmp_path / "new")
    again = found(tmp_path / "new")
    assert again is not None
    assert again.version == 7
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in TENSORS.items())


def test_it_is_written_while_the_process_goes_on(tmp_path: Path) -> None:
    file = taken(tmp_path)
    file.keep(RESIDUE)
    wait_until(lambda: file.read() is not None, what="the file")
    file.close()


def test_the_last_one_is_written_at_leaving(tmp_path: Path) -> None:
    file = taken(tmp_path)
    for version in range(8, 20):
        file.keep(dataclasses.replace(RESIDUE, version=Version(version)))
    file.close()
    again = found(tmp_path)
    assert again is not None
    assert again.version == 19


def test_nothing_left_out_is_nothing_kept(tmp_path: Path) -> None:
    leave(tmp_path)
    leave(tmp_path, None)
    assert found(tmp_path) is None


def test_two_processes_never_share_a_file(tmp_path: Path) -> None:
    leave(tmp_path)
    first, second = taken(tmp_path), taken(tmp_path)
    assert first.read() is not None
    assert second.read() is None
    second.keep(dataclasses.replace(RESIDUE, version=Version(8)))
    second.close()
    first.close()
    again = found(tmp_path)
    assert again is not None
    assert again.version == 7


def test_another_run_has_another_memory(tmp_path: Path) -> None:
    leave(tmp_path)
    assert found(tmp_path, run="another") is None


def test_a_model_of_another_form_does_not_take_it(tmp_path: Path) -> None:
    leave(tmp_path)
    assert found(tmp_path, manifest=Manifest.of({"w": torch.zeros(3)})) is None


@pytest.mark.parametrize("damage", [lambda good: b"", lambda good: good[:-1], lambda good: good + b"x",
                                    lambda good: good[:-1] + b"\xff", lambda good: b"{}\n" + good,
                                    lambda good: b"\x00" * 9000, lambda good: b"[1]\n"])  # fmt: skip
def test_a_damaged_file_is_no_memory(tmp_path: Path, damage: object) -> None:
    leave(tmp_path)
    (path,) = tmp_path.rglob("*.bin")
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert found(tmp_path) is None


def test_a_folder_that_cannot_be_had_costs_the_memory_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    said: list[str] = []
    assert ResidueFile.take(tmp_path / "occupied", "run", MANIFEST, said.append) is None
    assert len(said) == 1
    assert "not remembered beyond this process" in said[0]


def test_a_disk_that_refuses_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    file = ResidueFile.take(tmp_path, "run", MANIFEST, said.append)
    assert file is not None
    # Where the draft would be.
    (tmp_path / "run" / "0.partial").mkdir()
    file.keep(RESIDUE)
    wait_until(lambda: said, what="a word about the disk")
    file.keep(RESIDUE)
    file.close()
    assert len(said) == 1
    assert "not remembered beyond this process" in said[0]


def test_old_runs_are_swept_away_and_those_at_work_are_not(tmp_path: Path) -> None:
    for run in ("old", "held", "fresh"):
        leave(tmp_path, run=run)
    held = taken(tmp_path, "held")
    long_ago = time.time() - 40 * 24 * 3600
    for run in ("old", "held"):
        os.utime(tmp_path / run, (long_ago, long_ago))
    taken(tmp_path, "new").close()
    assert sorted(run.name for run in tmp_path.iterdir()) == ["fresh", "held", "new"]
    held.close()


def test_only_the_latest_few_runs_are_kept(tmp_path: Path) -> None:
    for place in range(7):
        leave(tmp_path, run=f"run {place}")
        os.utime(tmp_path / f"run {place}", (time.time() - 100 + place,) * 2)
    taken(tmp_path, "run 7").close()
    assert sorted(run.name for run in tmp_path.iterdir()) == ["run 4", "run 5", "run 6", "run 7"]


def sender_in(folder: Path, joined: Joined = JOINED, person: str = "ada") -> tuple[Sender, deque[Settled]]:
    fates: deque[Settled] = deque()
    sender = open_sender(joined, MLP, folder=folder, person=person, say=pytest.fail, fates=fates)
    return sender, fates


def lease(unit: int) -> Lease:
    return Lease(
        worker=WorkerId(1), unit=UnitId(unit), attempt=1, token=uuid4(), lease_seconds=60, epoch=0, first_sample=0,
        num_samples=1, seed=0, base_version=Version(unit),
    )  # fmt: skip


def blob(sender: Sender, unit: int) -> bytes:
    """Of what comes with each unit: values that fp16 must round, and buffers it need not."""
    values = {spec.name: torch.full(spec.shape, 1 / 3) for spec in MLP.manifest().tensors}
    values[next(iter(values))].view(-1)[0] = 1.0
    gradient = GradientResult(tensors=values, losses={}, num_samples=1)
    return sender.encoded(gradient, lease(unit)).blob


def test_a_worker_that_is_started_again_goes_on_with_what_it_delivered(tmp_path: Path) -> None:
    first, _ = sender_in(tmp_path)
    blob(first, 1)
    first.delivered()
    # Encoded, and never delivered: not in the memory of whoever comes after.
    expected = blob(first, 2)
    first.close()
    second, _ = sender_in(tmp_path)
    assert blob(second, 2) == expected
    second.close()


@pytest.mark.parametrize(
    "other",
    [
        {"joined": dataclasses.replace(JOINED, run=RunId(2))},
        {"joined": dataclasses.replace(JOINED, run_created_at=datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC))},
        {"person": "bob"},
    ],
)
def test_who_is_somebody_else_or_somewhere_else_begins_with_nothing(tmp_path: Path, other: dict[str, object]) -> None:
    first, _ = sender_in(tmp_path)
    fresh = blob(first, 1)
    first.delivered()
    first.close()
    second, _ = sender_in(tmp_path, **other)  # type: ignore[arg-type]
    assert blob(second, 1) == fresh
    second.close()


def test_what_was_not_used_is_sent_as_if_it_had_never_been(tmp_path: Path) -> None:
    sender, fates = sender_in(tmp_path)
    fresh = blob(sender, 1)
    fates.append(Settled(unit=UnitId(1), attempt=1, was_used=False, reason="stale"))
    assert blob(sender, 1) == fresh
    sender.undelivered(lease(1))
    assert blob(sender, 1) == fresh
    fates.append(Settled(unit=UnitId(1), attempt=1, was_used=True, reason="merged"))
    assert blob(sender, 1) != fresh
    sender.close()
