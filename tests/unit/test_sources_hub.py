"""The real huggingface-hub client against a server on 127.0.0.1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from contract.config import parse_config
from contract.errors import ConfigError, DataError
from contract.sources import SOURCES, Dataset, Split
from coordinator.new_run import open_dataset, open_workload
from tests.hub_server import COMMIT, FakeHub, serving
from tests.unit.source_examples import (
    digits,
    mnist_files,
    parquet,
    picture,
    picture_files,
    wikitext,
    write_files,
    zip_of,
)


def png(pixels: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")  # type: ignore[arg-type]
    return buffer.getvalue()


def digit_rows(count: int = 30) -> dict[str, bytes]:
    return {
        f"mnist/{split}-00000-of-00001.parquet": parquet(
            {
                "image": [{"bytes": png(picture), "path": None} for picture in digits(count)[::step]],
                "label": [number % 10 for number in range(count)],
            }
        )
        for split, step in (("train", 1), ("test", -1))
    }


SNLI = {
    f"plain_text/{split}-00000-of-00001.parquet": parquet(
        {
            "premise": [f"A man {row} plays." for row in range(60)],
            "hypothesis": [None if row == 5 else f"He sleeps {row}." for row in range(60)],
            "label": [row % 3 - 1 for row in range(60)],
        }
    )
    for split in ("train", "test")
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    repositories = {
        "Salesforce/wikitext": wikitext(),
        "stanfordnlp/snli": SNLI,
        "ylecun/mnist": digit_rows(),
        "class/faces": {
            "README.md": b"# Faces",
            "img_align_celeba.zip": zip_of(picture_files(40, "img_align_celeba/")),
        },
        "class/loose": picture_files(20, "data/"),
        "class/plain": {"a.txt": b"Plain text, and more of it. " * 40},
        "class/gated": {"a.txt": b"secret"},
    }
    with serving(repositories) as running:
        running.gated.add("class/gated")
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


def opened(split: Split = "train", path: Path | None = None, context: int = 16, **options: object) -> Dataset:
    source = SOURCES.build("hub", options)
    return source.open(path=path, split=split, num_samples=None, context=context, image_size=16, channels=3)


def problem_of(**options: object) -> str:
    with pytest.raises(DataError) as caught:
        opened(**options)  # type: ignore[arg-type]
    return str(caught.value)


def text_of(dataset: Dataset) -> str:
    tokens = dataset.batch(range(dataset.num_samples)).tokens
    assert tokens is not None
    return bytes(tokens[:, :-1].flatten().tolist()).decode()


FACES = {"repository": "class/faces", "kind": "images", "files": ["*.zip"], "held_out_files": []}


@pytest.mark.usefixtures("hub")
def test_wikitext_is_read_in_the_order_of_its_rows() -> None:
    assert text_of(opened()).startswith(" train line 0 of an encyclopedia \n train line 1 of")
    assert text_of(opened("held_out")).startswith(" test line 0 of")


@pytest.mark.usefixtures("hub")
def test_snli_is_read_column_by_column() -> None:
    files = {"files": ["plain_text/train-*"], "held_out_files": ["plain_text/test-*"]}
    assert text_of(opened(repository="stanfordnlp/snli", **files)).startswith("A man 0 plays.\nHe sleeps 0.\nA man 1")
    only = text_of(opened(repository="stanfordnlp/snli", columns=["hypothesis"], **files))
    assert "He sleeps 4.\nHe sleeps 6." in only


def test_only_what_is_needed_is_downloaded_and_only_once(hub: FakeHub) -> None:
    first = opened()
    assert hub.downloads == [
        f"GET /datasets/Salesforce/wikitext/resolve/{COMMIT}/wikitext-2-raw-v1/train-00000-of-00001.parquet"
    ]
    assert opened().fingerprint == first.fingerprint
    assert len(hub.downloads) == 1


@pytest.mark.usefixtures("hub")
def test_a_progress_bar_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    opened()
    assert "100%" in capfd.readouterr().err


def test_what_was_downloaded_serves_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving({"Salesforce/wikitext": wikitext()}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        fingerprint = opened(path=tmp_path).fingerprint
    assert opened(path=tmp_path).fingerprint == fingerprint


def test_without_a_network_what_to_do_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving({}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    problem = problem_of(path=tmp_path / "cache")
    assert "the dataset Salesforce/wikitext cannot be had: the Hub cannot be reached" in problem
    assert f"looked in {hub.endpoint}/datasets/Salesforce/wikitext at main, {tmp_path / 'cache'}" in problem
    assert "copy the cache folder" in problem


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"repository": "class/nothing"}, "no such repository, or it is private"),
        ({"repository": "class/gated"}, "lets in only those who asked"),
        ({"revision": "v9"}, "no such revision"),
        ({"repository": "a/b/c"}, "no name of a repository"),
        ({"files": ["*.arrow"]}, "no file in it is named like *.arrow; set data.options.files"),
        ({"columns": ["title"]}, "no column of text named title; set data.options.columns to some of: text"),
        ({**FACES, "files": ["*"]}, None),
        ({**FACES, "files": ["*.md"]}, "0 are zips and 0 are pictures"),
        ({**FACES, "repository": "Salesforce/wikitext", "files": ["*raw*"]}, "has no column of images"),
        ({**FACES, "kind": "text"}, "these are not text: img_align_celeba.zip"),
    ],
)
def test_what_cannot_be_had_is_told(options: dict[str, object], problem: str | None) -> None:
    if problem is None:
        assert opened(**options).num_samples == 36  # type: ignore[arg-type]
    else:
        assert problem.split(";")[0] in problem_of(**options)
        assert problem.split(";")[-1] in problem_of(**options)


def test_a_download_that_breaks_off_is_told(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client waits a second before each of its five new attempts.
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cuts_downloads = True
    assert "try again; what has arrived is kept" in problem_of()


@pytest.mark.usefixtures("hub")
def test_a_zip_of_pictures_is_read_without_unpacking(tmp_path: Path) -> None:
    dataset = opened(path=tmp_path, **FACES)  # type: ignore[arg-type]
    assert dataset.batch(range(9)).images is not None
    assert dataset.num_samples == 36
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.usefixtures("hub")
def test_loose_pictures_are_read() -> None:
    options = {**FACES, "repository": "class/loose", "files": ["data/*.png"]}
    assert opened("held_out", **options).num_samples == 2  # type: ignore[arg-type]


@pytest.mark.usefixtures("hub")
def test_pictures_in_parquet_have_their_labels() -> None:
    options = {"repository": "ylecun/mnist", "files": ["*train*"], "held_out_files": ["*test*"], "kind": "images"}
    dataset = opened(**options)  # type: ignore[arg-type]
    labels = dataset.batch(range(30)).labels
    assert dataset.num_classes == 10
    assert labels is not None
    assert sorted(labels.tolist()) == sorted(number % 10 for number in range(30))


@pytest.mark.usefixtures("hub")
def test_plain_text_holds_out_its_end() -> None:
    options = {"repository": "class/plain", "files": ["*.txt"], "held_out_files": []}
    assert opened(**options).num_samples > 5 * opened("held_out", **options).num_samples  # type: ignore[arg-type]


@pytest.mark.usefixtures("hub")
def test_mnist_of_the_hub_is_that_of_the_files(tmp_path: Path) -> None:
    source = SOURCES.build("mnist")
    from_hub = source.open(path=None, split="train", num_samples=None)
    from_files = source.open(path=write_files(tmp_path / "files", mnist_files()), split="train", num_samples=None)
    assert from_hub.fingerprint == from_files.fingerprint
    assert from_hub.batch([4]).labels == from_files.batch([4]).labels


@pytest.mark.usefixtures("hub")
def test_without_pyarrow_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert 'run `pip install "barnraise[hub]"`' in problem_of()


def test_a_file_that_is_no_parquet_is_told(hub: FakeHub) -> None:
    hub.repositories["Salesforce/wikitext"] = {"wikitext-2-raw-v1/train-0.parquet": b"PAR1" + bytes(99)}
    assert "no parquet file, or half of one" in problem_of()


def test_a_broken_picture_in_parquet_is_named(hub: FakeHub) -> None:
    rows = {"image": [{"bytes": picture(n) if n else b"no", "path": None} for n in range(20)]}
    hub.repositories["ylecun/mnist"] = {"mnist/train-0.parquet": parquet(rows)}
    options = {"repository": "ylecun/mnist", "files": ["*"], "held_out_files": [], "kind": "images"}
    with pytest.raises(DataError, match=r"broken images: mnist/train-0.parquet row 0 \("):
        opened(**options).batch(range(18))  # type: ignore[arg-type]


def test_files_must_be_named() -> None:
    with pytest.raises(ConfigError, match="files must name a pattern"):
        SOURCES.build("hub", {"files": []})


def test_the_token_of_the_configuration_reaches_the_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "of the environment")
    config = parse_config(
        "{model: {name: tiny_lstm}, data: {name: hub}, huggingface: {token: hf_of_the_file}}", source="test", environ={}
    )
    open_dataset(config, open_workload(config), config_file=None)
    assert hub.tokens == {"Bearer hf_of_the_file"}
