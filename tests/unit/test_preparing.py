from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from contract.config import parse_config
from contract.errors import DataError, UpgradeRequired
from contract.sources import SOURCES, Batch, Dataset
from contract.sources.base import DecodedDataset
from tests.unit.source_examples import picture_files, write_files
from worker.ledger import RunDefinition
from worker.preparing import ThreadedDataset, open_dataset, open_workload, with_threads

OPTIONS = {"image_size": 8, "channels": 3}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_files(tmp_path / "pictures", picture_files(40))


def opened(pictures: Path) -> Dataset:
    return SOURCES.build("images").open(path=pictures, split="train", num_samples=None, **OPTIONS)


def definition(fingerprint: str, *, version: int = 1) -> RunDefinition:
    return RunDefinition(
        workload="dcgan", workload_options={"image_size": 32, "channels": 3},
        data={"name": "images", "options": {}, "num_samples": 36, "fingerprint": fingerprint},
        training={"workload_version": version}, seed=3,
    )  # fmt: skip


@pytest.mark.parametrize("num_threads", [2, 3, 64])
def test_threads_change_no_byte(pictures: Path, num_threads: int) -> None:
    plain = opened(pictures)
    threaded = with_threads(plain, num_threads)
    assert isinstance(threaded, ThreadedDataset)
    indices = [5, 0, 35, 7, 7, 12, 1]
    assert _same(threaded.batch(indices), plain.batch(indices))
    assert (threaded.num_samples, threaded.fingerprint) == (plain.num_samples, plain.fingerprint)
    assert (threaded.description, threaded.num_classes) == (plain.description, plain.num_classes)


def test_pictures_are_decoded_by_several_threads_at_a_time(pictures: Path) -> None:
    meeting = threading.Barrier(3, timeout=10)
    dataset = opened(pictures)
    assert isinstance(dataset, DecodedDataset)

    class Meeting(type(dataset)):  # type: ignore[misc]
        def batch(self, indices: Sequence[int]) -> Batch:
            meeting.wait()
            answer: Batch = dataset.batch(indices)
            return answer

    slow = Meeting(**{name: getattr(dataset, name) for name in type(dataset).__dataclass_fields__})
    assert _same(with_threads(slow, 3).batch([0, 1, 2]), dataset.batch([0, 1, 2]))


@pytest.mark.parametrize("num_threads", [0, 1])
def test_one_thread_needs_no_pool(pictures: Path, num_threads: int) -> None:
    plain = opened(pictures)
    assert with_threads(plain, num_threads) is plain


def test_what_is_drawn_is_not_helped_by_threads() -> None:
    glyphs = SOURCES.build("glyphs").open(path=None, split="train", num_samples=None)
    assert with_threads(glyphs, 4) is glyphs


def test_a_damaged_picture_is_named_from_every_thread(pictures: Path) -> None:
    # Five, because four are held out.
    for number in range(5):
        (pictures / f"00{number}.png").write_bytes(b"no picture")
    dataset = with_threads(opened(pictures), 4)
    with pytest.raises(DataError, match=r"broken images: 00\d\.png"):
        dataset.batch(range(dataset.num_samples))


def test_data_is_looked_for_beside_the_configuration(pictures: Path) -> None:
    config = parse_config("data: {path: pictures}", source="test", environ={})
    workload = open_workload(definition(""))
    fingerprint = (
        SOURCES.build("images").open(path=pictures, split="train", num_samples=36, **workload.view).fingerprint
    )
    file = pictures.parent / "ada.yaml"
    assert open_dataset(definition(fingerprint), workload, config, file).num_samples == 36


def test_other_data_is_refused_with_both_fingerprints(pictures: Path) -> None:
    config = parse_config(f"data: {{path: '{pictures}'}}", source="test", environ={})
    with pytest.raises(DataError, match=r"not the run's: here it is .* the run's is 0123456789ab; get the files"):
        open_dataset(definition("0123456789abcdef"), open_workload(definition("")), config, None)


def test_another_version_of_the_workload_is_refused() -> None:
    with pytest.raises(UpgradeRequired, match="dcgan version 2, this Barnraise has version 1; upgrade"):
        open_workload(definition("", version=2))


def _same(one: Batch, other: Batch) -> bool:
    assert one.images is not None and other.images is not None
    return torch.equal(one.images, other.images) and (one.labels is None) is (other.labels is None)
