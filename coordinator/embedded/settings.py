"""What the embedded server is told, and what it tells back."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """`host` is the address volunteers connect to: loopback, a LAN address, or 0.0.0.0 for all of them."""

    state_directory: Path
    host: str = "127.0.0.1"
    port: int = 5432
    database: str = "barnraise"
    owner: str = "barnraise"
    binaries: Path | None = None
    max_connections: int = 300


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """`host` and `port` are the coordinator's own way in (loopback, no TLS); the `public_` ones go into invitations."""

    host: str
    port: int
    database: str
    owner: str
    owner_password: str = dataclasses.field(repr=False)
    superuser: str
    superuser_password: str = dataclasses.field(repr=False)
    public_host: str
    public_port: int
    certificate_pem: str | None = dataclasses.field(repr=False)
    version: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """`version` is the major one of the data, None before the first start; `num_bytes` counts the data directory."""

    running: bool
    pid: int | None
    port: int | None
    front_pid: int | None
    version: str | None
    data_directory: Path
    log_directory: Path
    num_bytes: int


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
