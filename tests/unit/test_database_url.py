from __future__ import annotations

import pytest

from contract.config import parse_config
from contract.database import connection_url, parse_url
from contract.errors import ConfigError
from coordinator.ledger.people import Admission
from coordinator.letters import database_section
from coordinator.place import open_place


def test_a_url_of_one_host() -> None:
    url = parse_url("postgresql://ada:secret@db.example.org:6432/barnraise?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.host, url.port, url.database) == ("db.example.org", 6432, "barnraise")


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://ada:se%40cret@one:5432,two:5433/barnraise?target_session_attrs=read-write",
        "postgresql://ada:se%40cret@/barnraise?host=one:5432&host=two:5433&target_session_attrs=read-write",
    ],
)
def test_several_hosts_as_libpq_writes_them_and_as_sqlalchemy_does(written: str) -> None:
    url = parse_url(written)
    assert url.query == {"host": ("one:5432", "two:5433"), "target_session_attrs": "read-write"}
    assert (url.password, url.database) == ("se@cret", "barnraise")


def test_several_hosts_and_nothing_else() -> None:
    assert parse_url("postgresql://one,two").query == {"host": ("one", "two")}


def test_an_invitation_to_several_hosts_leads_to_the_same() -> None:
    url = parse_url("postgresql://owner@one:5432,two:5433/barnraise").set(username="ada", password="x")
    written = url.set(drivername="postgresql").render_as_string(hide_password=False)
    invited = parse_config(f"database: {{embedded: false, url: '{written}'}}", source="an invitation")
    assert connection_url(invited.database) == url


def test_a_url_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(ConfigError, match=r"database\.url: cannot be read") as caught:
        parse_url("postgresql://ada:secret@host:port/name")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pooler", [True, False])
def test_invitations_to_a_url_say_whether_a_pooler_stands_there(pooler: bool) -> None:
    config = parse_config(
        f"database: {{embedded: false, url: 'postgresql://ada@host/name', pooler: {str(pooler).lower()}}}", source="x"
    )
    admission = Admission(name="bob", role="name_bob", password="x")
    section = database_section(open_place(config, None).public, admission)
    assert section.pop("pooler", False) is pooler
    assert section == {"embedded": False, "url": "postgresql://name_bob:x@host/name"}
