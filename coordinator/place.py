"""Where this project's ledger is: the coordinator's own way in, and the way that invitations describe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine

from contract.config import Config, find_config_file, resolve_path
from contract.database import engine_for, make_engine, parse_url
from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`public` holds the keys of an invitation's database section, all but user and password."""

    engine: Engine
    public: dict[str, Any]
    superuser: URL | None = None


def embedded_settings(config: Config, config_file: Path | None) -> EmbeddedSettings:
    database = config.database
    binaries = database.embedded_binaries
    return EmbeddedSettings(
        state_directory=resolve_path(database.state_directory, config_file=find_config_file(config_file)),
        host=database.host,
        port=database.port,
        database=database.name,
        owner=database.user,
        binaries=resolve_path(binaries, config_file=config_file) if binaries else None,
    )


def open_place(config: Config, config_file: Path | None) -> Place:
    """Starts the embedded server where the configuration asks for one and it does not run."""
    if config.database.embedded:
        return _embedded(config, ensure_running(embedded_settings(config, config_file)))
    return Place(engine=make_engine(config.database, application="coordinator"), public=_public(config))


def _embedded(config: Config, server: RunningServer) -> Place:
    def url(user: str, password: str) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=user,
            password=password,
            host=server.host,
            port=server.port,
            database=server.database,
            query={"sslmode": "disable"},
        )

    public: dict[str, Any] = {
        "host": config.database.advertise_host or server.public_host,
        "port": server.public_port,
        "name": server.database,
        # Without a certificate the server listens on this computer alone, and no line is there to be tapped.
        "sslmode": "verify-ca" if server.certificate_pem else "disable",
    }
    if server.certificate_pem:
        public["certificate"] = server.certificate_pem
    return Place(
        engine=engine_for(url(server.owner, server.owner_password), application="coordinator"),
        public=public,
        superuser=url(server.superuser, server.superuser_password),
    )


def _public(config: Config) -> dict[str, Any]:
    database = config.database
    through = {"pooler": True} if database.pooler else {}
    if database.url is not None:
        return {"url": parse_url(database.url.get_secret_value()), **through}
    public: dict[str, Any] = {
        "host": database.advertise_host or database.host,
        "port": database.port,
        "name": database.name,
        "sslmode": database.sslmode,
    }
    if database.certificate:
        public["certificate"] = _certificate_text(database.certificate)
    return {**public, **through}


def _certificate_text(certificate: str) -> str:
    """An invitation carries the certificate itself: a path of this computer means nothing on another."""
    if certificate == "system" or "-----BEGIN" in certificate:
        return certificate
    return Path(certificate).expanduser().read_text("ascii")
