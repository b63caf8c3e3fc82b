from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine

from tests.servers.databases import Database, TestSession, Workshop, begin_session, end_session
from tests.servers.server import Login, NoServerError, Server, server_from_json
from tests.servers.template import harden_template, migrate_template

UNIT_TESTS = Path(__file__).parent / "unit"
ConnectAs = Callable[[str, str], Connection]

# An example's time is the machine's business; what must be fast has a benchmark.
hypothesis.settings.register_profile("barnraise", deadline=None)
hypothesis.settings.load_profile("barnraise")

# A shell that runs the tests behind it has them ignore Ctrl-C, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

SERVER = pytest.StashKey[Server]()
SESSION = pytest.StashKey[TestSession]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        _take_over(config, config.workerinput)
    elif _wants_server(config):
        # Imported here: the processes of pytest-xdist choose nothing, and the Docker client takes 0.1 s.
        from tests.servers.choose import open_server

        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        try:
            server = stack.enter_context(open_server(os.environ))
            session = begin_session(server)
        except NoServerError as error:
            raise pytest.UsageError(str(error)) from None
        stack.callback(end_session, server, session)
        config.stash[SERVER] = server
        config.stash[SESSION] = session


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Called by pytest-xdist in the process that started the server, for each process that will use it."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    given: dict[str, str] = node.workerinput  # type: ignore[attr-defined]
    if SERVER in config.stash:
        session = config.stash[SESSION]
        given["server"] = config.stash[SERVER].to_json()
        given["session_prefix"] = session.prefix
        given["owner"], given["owner_password"] = session.owner.role, session.owner.password


def pytest_report_header(config: pytest.Config) -> list[str]:
    server = config.stash.get(SERVER, None)
    if server is None:
        return ["PostgreSQL: none, the unit tests need none"]
    return [f"PostgreSQL: {server.version}, {server.backend}", *server.remarks]


def _take_over(config: pytest.Config, given: dict[str, str]) -> None:
    if "server" in given:
        owner = Login(role=given["owner"], password=given["owner_password"])
        config.stash[SERVER] = server_from_json(given["server"])
        config.stash[SESSION] = TestSession(prefix=given["session_prefix"], owner=owner)


def _wants_server(config: pytest.Config) -> bool:
    if config.option.collectonly or config.option.help or config.option.version:
        return False
    paths = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return not all(path.is_relative_to(UNIT_TESTS) for path in paths)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    if SERVER not in pytestconfig.stash:
        pytest.fail("a test in tests/unit asks for a PostgreSQL; it belongs in tests/integration")
    return pytestconfig.stash[SERVER]


@pytest.fixture(scope="session")
def owner(server: Server, pytestconfig: pytest.Config) -> Login:
    """Not a superuser: CREATEROLE and CREATEDB only, as on a managed service."""
    return pytestconfig.stash[SESSION].owner


@pytest.fixture(scope="session")
def workshop(server: Server, pytestconfig: pytest.Config) -> Iterator[Workshop]:
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with contextlib.closing(Workshop(server, pytestconfig.stash[SESSION], process)) as workshop:
        yield workshop


@pytest.fixture(scope="session")
def template(workshop: Workshop) -> str:
    return workshop.template(migrate_template, harden_template)


@pytest.fixture
def database(workshop: Workshop, template: str) -> Iterator[Database]:
    """A migrated database of the test's own."""
    database = workshop.create(template=template)
    yield database
    workshop.retire(database)


@pytest.fixture
def empty_database(workshop: Workshop) -> Iterator[Database]:
    """A database of the test's own without a schema, for the tests of the migrations."""
    database = workshop.create()
    yield database
    workshop.retire(database)


@pytest.fixture
def owner_engine(database: Database) -> Iterator[Engine]:
    engine = create_engine(database.url())
    yield engine
    engine.dispose()


@pytest.fixture
def connect_as(database: Database) -> Iterator[ConnectAs]:
    """Opens a connection to the test's database with a role and its password; closed after the test."""
    with contextlib.ExitStack() as connections:

        def connect(role: str, password: str) -> Connection:
            engine = create_engine(database.url(Login(role=role, password=password)), poolclass=NullPool)
            return connections.enter_context(engine.connect())

        yield connect


@pytest.fixture
def superuser_connection(database: Database) -> Iterator[Connection]:
    """Sees everything in the test's database; each statement stands for itself (autocommit)."""
    if not database.server.admin_is_superuser:
        pytest.skip("TEST_DATABASE_URL is not a superuser's")
    engine = create_engine(database.superuser_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
