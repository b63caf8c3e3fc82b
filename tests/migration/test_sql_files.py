"""The rules for .sql files: each is in a revision, taken from everybody, and called from one place in worker.ledger."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import migrations
import worker.ledger
from contract.errors import all_errors

FOLDER = Path(migrations.__file__).parent
FUNCTIONS = sorted(FOLDER.glob("functions/*.sql"))
FILES = FUNCTIONS + sorted(FOLDER.glob("views/*.sql"))
CALLERS = Path(worker.ledger.__file__).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def volunteer_functions() -> list[Path]:
    return [path for path in FUNCTIONS if "CREATE FUNCTION volunteer." in content(path)]


def content(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def listed() -> Iterator[str]:
    for path in sorted(FOLDER.glob("versions/[0-9]*.py")):
        yield from importlib.import_module(f"migrations.versions.{path.stem}").FILES


def test_each_file_stands_in_one_revision() -> None:
    assert sorted(listed()) == sorted(name_of(path) for path in FILES)


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_a_file_makes_the_function_it_is_named_for_and_takes_it_from_everybody(path: Path) -> None:
    (made,) = re.findall(r"^CREATE FUNCTION (?:ledger|volunteer)\.(\w+)\(", content(path), re.MULTILINE)
    assert made == path.stem
    assert re.fullmatch(r"[a-z_]+_v[1-9]\d*", made)
    (schema,) = re.findall(r"^CREATE FUNCTION (\w+)\.", content(path), re.MULTILINE)
    assert re.search(rf"^REVOKE ALL ON FUNCTION {schema}\.{made}\(.*\) FROM PUBLIC;$", content(path), re.MULTILINE)


@pytest.mark.parametrize("path", volunteer_functions(), ids=name_of)
def test_what_a_volunteer_may_call_is_pinned_and_granted_and_called(path: Path) -> None:
    assert "SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS" in content(path)
    (grant,) = re.findall(r"^GRANT EXECUTE ON FUNCTION (.*) TO barnraise_volunteers;$", content(path), re.MULTILINE)
    assert f"REVOKE ALL ON FUNCTION {grant} FROM PUBLIC;" in content(path)
    assert len(re.findall(rf"\bvolunteer\.{path.stem}\(", CALLERS)) == 1


def test_a_volunteers_vocabulary_is_the_functions_there_are() -> None:
    assert set(re.findall(r"\bvolunteer\.(\w+)\(", CALLERS)) == {path.stem for path in volunteer_functions()}


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_what_a_volunteer_may_not_call_does_not_run_as_the_owner(path: Path) -> None:
    assert (path in volunteer_functions()) == ("SECURITY DEFINER" in content(path))


def test_functions_name_their_errors_by_our_sqlstates_and_all_of_them() -> None:
    raised = {state for path in FUNCTIONS for state in re.findall(r"ERRCODE = '(\w+)'", content(path))}
    ours = [error.sqlstate for error in all_errors() if error.sqlstate is not None]
    assert len(ours) == len(set(ours))
    assert raised - {"check_violation"} == set(ours)


def test_nobody_else_may_execute_anything(owner_engine: Engine) -> None:
    granted = text("""
        SELECT p.oid::regprocedure::text
          FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE p.pronamespace::regnamespace::text IN ('ledger', 'volunteer', 'watch') AND a.grantee <> p.proowner
           AND (a.grantee <> 'barnraise_volunteers'::regrole OR p.pronamespace <> 'volunteer'::regnamespace)""")
    with owner_engine.connect() as connection:
        assert connection.execute(granted).all() == []
