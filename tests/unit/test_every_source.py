"""What every data source promises, tried on each that is registered."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import contract.sources
from contract.errors import DataError
from contract.sources import SOURCES, Batch, Dataset, Split
from tests.hub_server import serving
from tests.unit.source_examples import TEXT, mnist_files, picture_files, wikitext, write_files

IMAGE_SIZE = 20
CONTEXT = 24
MANY = 12


@dataclasses.dataclass(frozen=True)
class Example:
    """A registered source, with data where it has none of its own."""

    name: str
    path: Path | None

    def open(self, split: Split = "train", num_samples: int | None = None, **arguments: Any) -> Dataset:
        wanted = {"image_size": IMAGE_SIZE, "context": CONTEXT, **arguments}
        return SOURCES.build(self.name).open(path=self.path, split=split, num_samples=num_samples, **wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    write_files(root / "images", picture_files(140))
    write_files(root / "mnist", mnist_files())
    write_files(root / "text", {"long.txt": TEXT, "short.md": TEXT[:3000]})
    return root


@pytest.fixture(scope="module")
def hub_endpoint() -> Iterator[str]:
    with serving({"Salesforce/wikitext": wikitext()}) as hub:
        yield hub.endpoint


@pytest.fixture(params=SOURCES.names)
def example(
    request: pytest.FixtureRequest, folder: Path, hub_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Example:
    monkeypatch.setenv("HF_ENDPOINT", hub_endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    name: str = request.param
    on_disk = {"images", "mnist", "text", "hub"}
    return Example(name, folder / name if name in on_disk else None)


def bytes_of(batch: Batch) -> bytes:
    tensors = (batch.images, batch.labels, batch.tokens)
    return b"".join(b"-" if tensor is None else tensor.contiguous().numpy().tobytes() for tensor in tensors)


def test_every_file_has_its_line() -> None:
    modules = {module.name for module in pkgutil.iter_modules(contract.sources.__path__)}
    plugins = {name for name in modules if name != "base" and not name.startswith("_")}
    assert {member.__module__.rpartition(".")[2] for member in SOURCES} == plugins
    for name in plugins:
        module = importlib.import_module(f"contract.sources.{name}")
        assert SOURCES.get(name).__module__ == module.__name__, "a source is named like its file"


def test_a_batch_has_the_promised_form(example: Example) -> None:
    dataset = example.open()
    batch = dataset.batch(range(MANY))
    if SOURCES.build(example.name).kind == "images":
        assert batch.tokens is None
        assert batch.images is not None
        assert batch.images.shape == (MANY, 1, IMAGE_SIZE, IMAGE_SIZE)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous()
        assert -1 <= float(batch.images.min()) < float(batch.images.max()) <= 1
        assert dataset.vocabulary_size is None
    else:
        assert batch.images is batch.labels is None
        assert batch.tokens is not None
        assert batch.tokens.shape == (MANY, CONTEXT + 1)
        assert batch.tokens.dtype == torch.int64
        assert batch.tokens.is_contiguous()
        assert dataset.vocabulary_size == 256
        assert 0 <= int(batch.tokens.min()) <= int(batch.tokens.max()) < 256
        assert dataset.num_classes is None


def test_labels_are_of_the_promised_classes(example: Example) -> None:
    dataset = example.open()
    labels = dataset.batch(range(MANY)).labels
    assert (labels is None) is (dataset.num_classes is None)
    if labels is not None and dataset.num_classes is not None:
        assert labels.dtype == torch.int64
        assert labels.shape == (MANY,)
        assert 0 <= int(labels.min()) <= int(labels.max()) < dataset.num_classes


def test_colour_has_three_channels(example: Example) -> None:
    images = example.open(channels=3).batch(range(MANY)).images
    assert images is None or images.shape == (MANY, 3, IMAGE_SIZE, IMAGE_SIZE)


def test_an_empty_batch_is_a_batch(example: Example) -> None:
    batch = example.open().batch([])
    assert all(tensor is None or len(tensor) == 0 for tensor in (batch.images, batch.labels, batch.tokens))


def test_a_sample_does_not_depend_on_its_batch(example: Example) -> None:
    dataset = example.open()
    together = [bytes_of(dataset.batch([index])) for index in (7, 3, 7)]
    backwards = dataset.batch([3, 7])
    assert together[0] == together[2]
    assert bytes_of(dataset.batch([7])) == together[0] != together[1]
    for tensor in (backwards.images, backwards.labels, backwards.tokens):
        if tensor is not None:
            assert tensor[1].numpy().tobytes() in together[0]


def test_the_same_arguments_give_the_same_data(example: Example) -> None:
    first, second = example.open(), example.open()
    assert first.fingerprint == second.fingerprint
    assert bytes_of(first.batch(range(MANY))) == bytes_of(second.batch(range(MANY)))


def test_a_fingerprint_is_a_sha256(example: Example) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", example.open().fingerprint)


def test_a_description_is_one_line(example: Example) -> None:
    description = example.open().description
    assert description
    assert "\n" not in description


def test_a_part_of_the_samples_is_the_beginning_of_all(example: Example) -> None:
    whole, part = example.open(), example.open(num_samples=5)
    assert part.num_samples == 5
    assert part.fingerprint == whole.fingerprint
    assert bytes_of(part.batch(range(5))) == bytes_of(whole.batch(range(5)))


def test_held_out_samples_are_others(example: Example) -> None:
    trained, held_out = example.open(), example.open("held_out")
    assert held_out.num_samples >= MANY
    assert trained.fingerprint != held_out.fingerprint
    assert trained.num_classes == held_out.num_classes
    seen = {bytes_of(trained.batch([index])) for index in range(min(trained.num_samples, 500))}
    assert not seen & {bytes_of(held_out.batch([index])) for index in range(MANY)}


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_out_of_range_is_an_error(example: Example, index: int) -> None:
    with pytest.raises(IndexError):
        example.open(num_samples=5).batch([0, index])


def test_threads_see_the_same(example: Example) -> None:
    dataset = example.open()
    parts = [range(start, start + 3) for start in range(0, MANY, 3)] * 8
    alone = [bytes_of(dataset.batch(part)) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda part: bytes_of(dataset.batch(part)), parts)) == alone


_ELSEWHERE = """
import sys, hashlib, torch
from pathlib import Path
from contract.sources import SOURCES
path = Path(sys.argv[2]) if sys.argv[2] else None
dataset = SOURCES.build(sys.argv[1]).open(
    path=path, split="train", num_samples=None, image_size={size}, context={context}
)
print(dataset.fingerprint)
for num_threads in (1, 3):
    torch.set_num_threads(num_threads)
    batch = dataset.batch(range({many}))
    tensors = (batch.images, batch.labels, batch.tokens)
    content = b"".join(b"-" if tensor is None else tensor.contiguous().numpy().tobytes() for tensor in tensors)
    print(hashlib.sha256(content).hexdigest())
"""


def test_another_process_sees_the_same_with_any_number_of_threads(example: Example) -> None:
    code = _ELSEWHERE.format(size=IMAGE_SIZE, context=CONTEXT, many=MANY)
    arguments = [example.name, str(example.path or "")]
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    here = example.open()
    content = hashlib.sha256(bytes_of(here.batch(range(MANY)))).hexdigest()
    assert answer.stdout.split() == [here.fingerprint, content, content]


def test_options_of_other_kinds_do_not_disturb(example: Example) -> None:
    """A workload passes all it has; an image source has no use for a context, nor a text for channels."""
    if SOURCES.build(example.name).kind == "images":
        assert example.open(context=7).fingerprint == example.open().fingerprint
    else:
        assert example.open(channels=2, image_size=1).fingerprint == example.open().fingerprint


def test_what_decides_the_bytes_is_in_the_fingerprint(example: Example) -> None:
    prints = {
        example.open(**change).fingerprint
        for change in ({}, {"image_size": 24}, {"channels": 3}, {"context": 25}, {"split": "held_out"})
    }
    assert len(prints) == (4 if SOURCES.build(example.name).kind == "images" else 3)


def test_impossible_wishes_are_refused(example: Example) -> None:
    if SOURCES.build(example.name).kind == "images":
        wishes: list[dict[str, int]] = [{"channels": 2}, {"image_size": 2}, {"image_size": 10**6}]
    else:
        wishes = [{"context": 0}, {"context": 10**9}]
    for wish in wishes:
        with pytest.raises(DataError, match=f"data source {example.name}: "):
            example.open(**wish)  # type: ignore[arg-type]


def test_a_refusal_is_one_line_with_its_exit_code(example: Example) -> None:
    with pytest.raises(DataError) as caught:
        example.open(image_size=2, context=0)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 8
