from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.trained import small
from worker.remembered import BatchSizes, cache_folder

MLP = small("mlp")


def test_what_fitted_is_remembered_for_this_device_and_model(tmp_path: Path) -> None:
    BatchSizes(folder=tmp_path / "new").keep(MLP, "cuda:0", 16)
    again = BatchSizes(folder=tmp_path / "new")
    assert again.get(MLP, "cuda:0") == 16
    assert again.get(MLP, "cpu") is None
    assert again.get(small("cnn"), "cuda:0") is None


def test_several_are_remembered(tmp_path: Path) -> None:
    sizes = BatchSizes(folder=tmp_path)
    sizes.keep(MLP, "cpu", 8)
    sizes.keep(MLP, "cuda:0", 64)
    sizes.keep(MLP, "cpu", 4)
    assert (sizes.get(MLP, "cpu"), sizes.get(MLP, "cuda:0")) == (4, 64)


def test_it_is_not_believed_for_ever(tmp_path: Path) -> None:
    sizes = BatchSizes(folder=tmp_path)
    sizes.keep(MLP, "cpu", 8)
    (file,) = tmp_path.iterdir()
    entries = json.loads(file.read_text("utf-8"))
    for entry in entries.values():
        entry["at"] -= 31 * 24 * 3600
    file.write_text(json.dumps(entries), "utf-8")
    assert sizes.get(MLP, "cpu") is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', "\x00"])
def test_a_damaged_file_is_no_reason_not_to_compute(tmp_path: Path, content: str) -> None:
    sizes = BatchSizes(folder=tmp_path)
    (tmp_path / "batch_sizes.json").write_text(content, "utf-8")
    assert sizes.get(MLP, "cpu") is None
    sizes.keep(MLP, "cpu", 8)
    assert sizes.get(MLP, "cpu") == 8


@pytest.mark.parametrize("entry", [7, {}, {"batch_size": "8"}, {"batch_size": 0}, {"batch_size": 8, "at": "x"}])
def test_nor_is_a_damaged_entry(tmp_path: Path, entry: object) -> None:
    sizes = BatchSizes(folder=tmp_path)
    sizes.keep(MLP, "cpu", 8)
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text("utf-8")), entry)), "utf-8")
    assert sizes.get(MLP, "cpu") is None


def test_a_folder_that_cannot_be_written_is_none_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    BatchSizes(folder=tmp_path / "file").keep(MLP, "cpu", 8)


def test_the_folder_is_the_owners_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contract.config import parse_config

    monkeypatch.setenv("BARNRAISE_HOME", str(tmp_path))
    config = parse_config(f"worker: {{cache_directory: '{tmp_path / 'mine'}'}}", source="test", environ={})
    assert cache_folder(config) == tmp_path / "mine"
    assert cache_folder(parse_config("worker: {name: a}", source="test", environ={})) == tmp_path
