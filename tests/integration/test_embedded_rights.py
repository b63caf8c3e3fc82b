"""What the embedded server takes from every login before the first one is invited."""

from __future__ import annotations

import psycopg
import pytest

from coordinator.embedded import ensure_running
from tests.integration.embedded_support import connect, connect_as_superuser, new_settings

pytestmark = pytest.mark.own_server


def test_a_login_can_enter_no_database_it_was_not_invited_to() -> None:
    with new_settings() as settings:
        server = ensure_running(settings)
        with connect_as_superuser(server) as superuser:
            superuser.execute("CREATE ROLE stranger LOGIN PASSWORD 'knock knock'")
        for database in ("postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                connect(server, user="stranger", password="knock knock", dbname=database)
