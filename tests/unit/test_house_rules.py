"""The house rules that a machine can check and that ruff, mypy and import-linter do not, or only until a noqa."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("contract", "coordinator", "worker")
LONGEST_FILE = 400
# Each of these turns somebody else's bytes into somebody else's program.
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load"}
# To the letter, each with its reason.
ALLOWED = {
    # It runs what it wrote itself a line above, from the number of vectors and a fold of ours.
    "coordinator/aggregators/compiled/folds.py": ["exec('\\n'.join(_source(fold, num_rows)), names)"],
}
SLEEPS = {"time.sleep", "asyncio.sleep", "sleep"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


PACKAGE_FILES = sources(*PACKAGES)
PRODUCT_FILES = PACKAGE_FILES + sources("migrations")
TEST_FILES = sources("tests")
ALL_FILES = PRODUCT_FILES + TEST_FILES + sources("benchmarks", "docs")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(PACKAGE_FILES) > 3


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name_of)
def test_no_file_is_longer_than_two(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= LONGEST_FILE, "a file that passes 400 lines is two files"


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_nothing_runs_what_others_wrote(path: Path) -> None:
    assert list(dangers(parse(path))) == ALLOWED.get(name_of(path), [])


@pytest.mark.parametrize("path", [path for path in PRODUCT_FILES if path.name != "cli.py"], ids=name_of)
def test_only_cli_catches_everything(path: Path) -> None:
    assert list(swallowed(parse(path))) == [], "catch what you expect; `except Exception` stands once, in cli.py"


@pytest.mark.parametrize("path", TEST_FILES, ids=name_of)
def test_no_test_sleeps(path: Path) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(parse(path)) if isinstance(node, ast.Call)}
    assert not calls & SLEEPS, "wait for a condition: tests/waiting.py"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "torch.load(path)",
        "yaml.load(text, Loader)",
        "subprocess.run(command, shell=True)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_a_danger_is_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


@pytest.mark.parametrize(
    ("handler", "swallows"),
    [
        ("except Exception: pass", True),
        ("except (ValueError, BaseException): pass", True),
        ("except: pass", True),
        ("except ValueError: pass", False),
        ("except BaseException: raise", False),
    ],
)
def test_a_swallowed_error_is_seen(handler: str, swallows: bool) -> None:
    assert bool(list(swallowed(ast.parse(f"try: f()\n{handler}")))) is swallows


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dangers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_IMPORTS:
                yield module
            case ast.Call(func=function, keywords=keywords):
                if ast.unparse(function) in FORBIDDEN_CALLS:
                    yield ast.unparse(node)
                yield from (
                    ast.unparse(node)
                    for keyword in keywords
                    if keyword.arg in {"shell", "allow_pickle"}
                    and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                )


def swallowed(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = {ast.unparse(node.type)} if node.type else {"BaseException"}
            if isinstance(node.type, ast.Tuple):
                caught = {ast.unparse(name) for name in node.type.elts}
            last = node.body[-1]
            # What only tidies up and passes the error on swallows nothing.
            passed_on = isinstance(last, ast.Raise) and last.exc is None
            if caught & {"Exception", "BaseException"} and not passed_on:
                yield f"line {node.lineno}"
