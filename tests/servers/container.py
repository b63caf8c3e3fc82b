from __future__ import annotations

import contextlib
import gc
import secrets
import warnings
from collections.abc import Callable, Iterator

import docker.errors  # type: ignore[import-untyped]
import requests
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.docker_client import DockerClient

DEFAULT_IMAGE = "postgres:18"
ENGINE_ANSWERS_WITHIN_SECONDS = 3
SETTINGS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")


class NoEngineError(Exception):
    """No Docker engine answers."""


class NoImageError(Exception):
    """The engine has no such image and cannot get it."""


@contextlib.contextmanager
def container_server_url(image: str) -> Iterator[str]:
    if problem := _problem_with(lambda client: client.ping(), timeout=ENGINE_ANSWERS_WITHIN_SECONDS):
        raise NoEngineError(f"no Docker engine answers ({problem})")
    if problem := _problem_with(lambda client: _have(client, image)):
        raise NoImageError(f"the image {image} cannot be pulled ({problem})")
    container = PostgresContainer(
        image, username="postgres", password=secrets.token_urlsafe(16), dbname="postgres", driver=None
    ).with_command(["postgres", *(word for setting in SETTINGS for word in ("-c", setting))])
    with container:
        yield container.get_connection_url()


def _have(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        client.images.pull(image)


def _problem_with(action: Callable[[docker.DockerClient], object], **options: int) -> str | None:
    problem = None
    # The library leaves the socket of a failed attempt to the garbage collector, which would complain in some test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with contextlib.closing(DockerClient(**options).client) as client:
                action(client)
        except (docker.errors.DockerException, requests.RequestException) as error:
            problem = str(error)
        gc.collect()
    return problem
