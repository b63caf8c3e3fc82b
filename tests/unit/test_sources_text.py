from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from contract.errors import ConfigError, DataError
from contract.sources import SOURCES, Dataset, Split
from contract.sources.stdlib import library
from tests.unit.source_examples import TEXT, write_files


def opened(path: Path, split: Split = "train", context: int = 16, **options: object) -> Dataset:
    return SOURCES.build("text", options).open(path=path, split=split, num_samples=None, context=context)


def text_of(dataset: Dataset) -> bytes:
    tokens = dataset.batch(range(dataset.num_samples)).tokens
    assert tokens is not None
    return bytes(tokens[:, :-1].flatten().tolist())


def problem_of(path: Path | None, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        SOURCES.build("text", options).open(path=path, split="train", num_samples=None)
    return str(caught.value)


def test_windows_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"a.txt": TEXT}) / "a.txt"
    trained, held_out = text_of(opened(file)), text_of(opened(file, "held_out"))
    cut = len(TEXT) - len(TEXT) // 10
    assert TEXT[:cut].startswith(trained)
    assert TEXT[cut:].startswith(held_out)
    assert len(trained) > cut - 17


def test_the_target_is_the_next_byte(tmp_path: Path) -> None:
    tokens = opened(write_files(tmp_path, {"a.txt": TEXT})).batch([0, 1]).tokens
    assert tokens is not None
    assert tokens[0, -1] == tokens[1, 0]


def test_of_ten_files_one_is_held_out(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{number:02}.txt": bytes([65 + number]) * 1000 for number in range(20)})
    assert set(text_of(opened(tmp_path, "held_out"))) == {65 + 9, 65 + 19}
    assert not set(text_of(opened(tmp_path))) & {65 + 9, 65 + 19}


def test_any_bytes_are_text_but_zero(tmp_path: Path) -> None:
    content = bytes(range(1, 256)) * 10
    assert content.startswith(text_of(opened(write_files(tmp_path, {"latin.txt": content}))))


def test_the_name_of_a_folder_changes_nothing(tmp_path: Path) -> None:
    one, other = (write_files(tmp_path / name, {"a/b.txt": TEXT, "c.txt": TEXT[:500]}) for name in ("x", "y"))
    assert opened(one).fingerprint == opened(other).fingerprint


def test_a_changed_byte_changes_the_fingerprint(tmp_path: Path) -> None:
    one, other = (write_files(tmp_path / name, {"a.txt": TEXT + end}) for name, end in (("x", b"a"), ("y", b"b")))
    assert opened(one, "held_out").fingerprint != opened(other, "held_out").fingerprint


def test_a_pattern_chooses(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.txt": b"a" * 500, "b.md": b"b" * 500, "deep/c.txt": b"c" * 500})
    assert set(text_of(opened(tmp_path, pattern="*.txt"))) == {ord("a"), ord("c")}


def test_an_empty_pattern_is_refused() -> None:
    with pytest.raises(ConfigError, match="pattern must not be empty"):
        SOURCES.build("text", {"pattern": ""})


def test_hidden_files_are_no_text(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.txt": b"a" * 500, ".git/b": b"b" * 500, ".DS_Store": b"\0" * 9})
    assert set(text_of(opened(tmp_path))) == {ord("a")}


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.txt": TEXT, "cat.png": b"\x89PNG\0\0", **{f"{n}.bin": b"\0" for n in range(9)}})
    problem = problem_of(tmp_path)
    assert "these are not text: 0.bin" in problem
    assert "and 5 more" in problem
    assert "data.options.pattern" in problem


@pytest.mark.parametrize("content", [b"", b"a", b"a" * 100])
def test_too_little_text_is_refused(tmp_path: Path, content: bytes) -> None:
    problem = problem_of(write_files(tmp_path, {"a.txt": content}))
    assert "do not fill one window of 129" in problem
    assert str(tmp_path) in problem


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no file is named like *" in problem_of(tmp_path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    assert f"looked in {tmp_path / 'nowhere'}" in problem_of(tmp_path / "nowhere")


def test_an_unset_path_is_refused() -> None:
    assert "set data.path to a text file or a folder of them" in problem_of(None)


def test_more_samples_than_there_are_is_refused(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"a.txt": TEXT}) / "a.txt"
    with pytest.raises(DataError, match=r"not the 100000 of data\.num_samples"):
        SOURCES.build("text").open(path=file, split="train", num_samples=100_000)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own on Windows")
def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_files(tmp_path, {"inside/a.txt": b"a" * 500, "outside/b.txt": b"b" * 500})
    (tmp_path / "inside" / "circle").symlink_to(tmp_path / "inside", target_is_directory=True)
    (tmp_path / "inside" / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    text = text_of(opened(tmp_path / "inside"))
    assert text.count(b"a") == 450
    assert set(text) == {ord("a"), ord("b")}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own on Windows")
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    assert "gone.txt cannot be looked at" in problem_of(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe.txt is no ordinary file" in problem_of(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_name_need_not_be_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_bytes(TEXT)
    assert opened(tmp_path).num_samples
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.bin")).write_bytes(b"\0")
    problem_of(tmp_path).encode()


def test_the_library_says_which_python_it_is_of() -> None:
    description = SOURCES.build("stdlib").open(path=None, split="train", num_samples=None).description
    assert sys.version.split()[0] in description


def test_the_library_is_megabytes_of_python() -> None:
    dataset = SOURCES.build("stdlib").open(path=None, split="train", num_samples=None, context=128)
    assert dataset.num_samples > 20_000
    assert b"import " in text_of(SOURCES.build("stdlib").open(path=None, split="train", num_samples=200))


def test_ends_of_lines_of_windows_change_nothing(tmp_path: Path) -> None:
    code = "import os\nprint(os)\n"
    write_files(
        tmp_path, {"unix/argparse.py": code.encode(), "windows/argparse.py": code.replace("\n", "\r\n").encode()}
    )
    assert library(tmp_path / "unix") == library(tmp_path / "windows")


def test_a_python_without_its_library_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="carries no source"):
        library(tmp_path)
