"""Bring the embedded server up, take it down, look at it."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from contract.errors import AddressInUse, EmbeddedServerError
from coordinator.embedded import cluster, front_control, process
from coordinator.embedded import places as folders
from coordinator.embedded.binaries import Binaries, find_binaries, make_reachable
from coordinator.embedded.bootstrap import bootstrap
from coordinator.embedded.certificate import ensure_certificate, own_addresses
from coordinator.embedded.cluster import SUPERUSER, Listening
from coordinator.embedded.front_order import FrontOrder
from coordinator.embedded.lock import exclusive
from coordinator.embedded.places import Places
from coordinator.embedded.settings import EmbeddedSettings, RunningServer, ServerStatus, is_loopback
from coordinator.embedded.sockets import listen

_LOOPBACK = "127.0.0.1"
_PATIENCE_SECONDS = 120.0
# Below the ranges from which systems take ports for outgoing connections.
_INTERNAL_PORTS = range(20_000, 32_000)
_ANY = ("0.0.0.0", "::", "*")  # noqa: S104  compared with, not bound to


def ensure_running(settings: EmbeddedSettings) -> RunningServer:
    """Make, start or find the server; whoever calls at the same time gets the same one."""
    with _explained(settings), exclusive(folders.lock_of(settings.state_directory), patience_seconds=_PATIENCE_SECONDS):
        places = folders.prepare(settings.state_directory)
        binaries = make_reachable(find_binaries(settings.binaries, places.data), places)
        superuser_password = _initialised(places, binaries)
        certificate: tuple[Path, Path] | None = None
        if not is_loopback(settings.host):
            certificate = ensure_certificate(places.tls, settings.host, places.account)
        encrypts_itself = certificate is not None and cluster.has_tls(places, binaries)

        order: FrontOrder | None = None
        if certificate is None:
            own_host, listening = settings.host, Listening(addresses=(settings.host,), port=settings.port)
        elif encrypts_itself:
            own_host = _LOOPBACK
            listening = Listening(addresses=_with_loopback(settings.host), port=settings.port, tls=certificate)
        else:
            own_host = _LOOPBACK
            listening = Listening(addresses=(_LOOPBACK,), port=_internal_port(places))
            order = _front_order(settings, places, listening.port, certificate)

        _start(settings, places, binaries, listening, order)
        owner_password, version = bootstrap(
            settings, places, host=own_host, port=listening.port, superuser_password=superuser_password
        )
        if order is not None and front_control.running_front(places) is None:
            front_control.start(places, order)
        return RunningServer(
            host=own_host,
            port=listening.port,
            database=settings.database,
            owner=settings.owner,
            owner_password=owner_password,
            superuser=SUPERUSER,
            superuser_password=superuser_password,
            public_host=_public_host(settings.host),
            public_port=settings.port,
            certificate_pem=None if certificate is None else certificate[0].read_text("ascii"),
            version=version,
        )


def stop(settings: EmbeddedSettings) -> None:
    """End front and server; whatever is not running is left alone."""
    if not settings.state_directory.exists():
        return
    with _explained(settings), exclusive(folders.lock_of(settings.state_directory), patience_seconds=_PATIENCE_SECONDS):
        places = folders.find(settings.state_directory)
        if places is None:
            return
        front_control.stop(places)
        if process.postmaster_pid(places.data) is not None:
            process.stop(places, make_reachable(find_binaries(settings.binaries, places.data), places))


def has_fallen(settings: EmbeddedSettings) -> bool:
    """Whether server or front ended without being stopped: then what they leave behind is still there."""
    places = folders.find(settings.state_directory)
    if places is None:
        return False
    server_fell = (places.data / "postmaster.pid").exists() and process.postmaster_pid(places.data) is None
    return server_fell or (places.front_record.exists() and front_control.running_front(places) is None)


def status(settings: EmbeddedSettings) -> ServerStatus:
    with _explained(settings):
        places = folders.find(settings.state_directory)
        if places is None:
            state = settings.state_directory.resolve()
            return ServerStatus(
                running=False, pid=None, port=None, front_pid=None, version=None,
                data_directory=state / "postgres", log_directory=state / "logs", num_bytes=0,
            )  # fmt: skip
        pid = process.postmaster_pid(places.data)
        front = front_control.running_front(places)
        return ServerStatus(
            running=pid is not None,
            pid=pid,
            port=process.postmaster_port(places.data) if pid is not None else None,
            front_pid=None if front is None else front.pid,
            version=(places.data / "PG_VERSION").read_text("ascii").strip(),
            data_directory=places.data,
            log_directory=places.logs,
            num_bytes=_size(places.data),
        )


def trim_logs(settings: EmbeddedSettings) -> None:
    """Delete all but the newest server logs; a long-lived coordinator calls it now and then."""
    places = folders.find(settings.state_directory)
    if places is not None:
        cluster.trim_logs(places)


@contextlib.contextmanager
def _explained(settings: EmbeddedSettings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"the state folder {settings.state_directory} cannot be used: {error.strerror or error} "
            f"({error.filename or 'no file named'}); is the disk full, or does the folder belong to somebody else?"
        ) from error


def _initialised(places: Places, binaries: Binaries) -> str:
    password = places.secret("superuser_password")
    if not cluster.exists(places):
        password = password or places.new_secret("superuser_password")
        cluster.initialise(places, binaries, password)
    if password is None:
        raise EmbeddedServerError(
            f"the password file {places.state / 'secrets' / 'superuser_password'} is gone, and without it the data in "
            f"{places.data} cannot be opened; put it back from a copy"
        )
    return password


def _start(
    settings: EmbeddedSettings, places: Places, binaries: Binaries, listening: Listening, order: FrontOrder | None
) -> None:
    front = front_control.running_front(places)
    if front is not None and (order is None or front.order != order.dump()):
        front_control.stop(places)
        front = None
    configuration = cluster.render(settings, places, binaries, listening)
    alive = process.postmaster_pid(places.data) is not None
    if alive and not cluster.is_configured(places, configuration):
        process.stop(places, binaries)
        alive = False
    if not alive:
        for address in listening.addresses:
            _require_free(address, listening.port)
    if order is not None and front is None:
        _require_free(order.host, order.port)
    if not alive:
        cluster.trim_logs(places)
        cluster.configure(places, configuration, listening)
        process.start(places, binaries, listening)


def _front_order(
    settings: EmbeddedSettings, places: Places, server_port: int, certificate: tuple[Path, Path]
) -> FrontOrder:
    return FrontOrder(
        host=settings.host,
        port=settings.port,
        server_port=server_port,
        certificate=str(certificate[0]),
        key=str(certificate[1]),
        record=str(places.front_record),
        lock=str(places.front_lock),
        log=str(places.logs / "front.log"),
        account=places.account,
        max_connections=settings.max_connections,
    )


def _internal_port(places: Places) -> int:
    """Where PostgreSQL listens behind the front: chosen once, and again only when somebody else has taken it."""
    remembered = int(places.internal_port.read_text("ascii")) if places.internal_port.exists() else None
    if remembered is not None and (process.postmaster_pid(places.data) is not None or _is_free(_LOOPBACK, remembered)):
        return remembered
    candidates = random.sample(_INTERNAL_PORTS, 100)
    port = next((candidate for candidate in candidates if _is_free(_LOOPBACK, candidate)), None)
    if port is None:
        raise AddressInUse("no port between 20000 and 32000 is free on 127.0.0.1")
    folders.write_file(places.internal_port, f"{port}\n", account=None)
    return port


def _is_free(host: str, port: int) -> bool:
    try:
        _require_free(host, port)
    except AddressInUse:
        return False
    return True


def _require_free(host: str, port: int) -> None:
    try:
        for listener in listen(host, port):
            listener.close()
    except OSError as error:
        raise AddressInUse(process.address_in_use(host, port)) from error


def _with_loopback(host: str) -> tuple[str, ...]:
    return (host,) if host in _ANY else (_LOOPBACK, host)


def _public_host(host: str) -> str:
    """0.0.0.0 is no address to connect to: name the one this machine uses towards others."""
    if host not in _ANY:
        return host
    return next((address for address in own_addresses() if not is_loopback(address)), socket.gethostname())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # A running server removes files while we look.
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total
