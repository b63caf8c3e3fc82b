"""A classroom whose dashboard is open: the real page over real HTTP, with the login that it makes for itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import yaml

from contract.config import load_config
from contract.ids import Version
from coordinator.dashboard.starting import OpenPage, open_page
from coordinator.ledger import samples
from coordinator.place import open_place
from tests.integration.classroom import Classroom

RUN = "class"
PATIENCE_SECONDS = 15.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenHouse:
    room: Classroom
    page: OpenPage
    address: str

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(self.address + path, headers={name.replace("_", "-"): v for name, v in headers.items()})

    def look(self, run: str = RUN) -> dict[str, Any]:
        return dict(self.get(f"/api/runs/{run}").json())

    def news(self, **headers: str) -> contextlib.AbstractContextManager[Iterator[dict[str, Any]]]:
        return news(f"{self.address}/api/runs/{RUN}/live", headers)


@contextlib.contextmanager
def news(address: str, headers: Mapping[str, str] | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """What a viewer is told, as it comes."""
    with httpx2.stream("GET", address, headers=headers, timeout=PATIENCE_SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {"))


@contextlib.contextmanager
def open_house(
    room: Classroom, folder: Path, *, host: str = "127.0.0.1", port: int = 0, **settings: object
) -> Iterator[OpenHouse]:
    """`settings` are of the configuration's section coordinator."""
    file = folder / "config.yaml"
    url = room.database.url().set(drivername="postgresql").render_as_string(hide_password=False)
    file.write_text(
        yaml.safe_dump({"database": {"embedded": False, "url": url}, "run": {"name": RUN}, "coordinator": settings}),
        "utf-8",
    )
    config = load_config(file, environ={})
    place = open_place(config, file)
    page = open_page(place, config, file, host=host, port=port)
    stop, ready = threading.Event(), threading.Event()
    serving = threading.Thread(target=page.serving.run, args=(stop,), kwargs={"ready": ready.set})
    serving.start()
    try:
        assert ready.wait(PATIENCE_SECONDS), "the page is not served"
        yield OpenHouse(room=room, page=page, address=f"http://127.0.0.1:{page.serving.access.port}")
    finally:
        stop.set()
        serving.join(PATIENCE_SECONDS)
        page.serving.engine.dispose()
        place.engine.dispose()
    assert not serving.is_alive(), "the page does not end"


def keep_sample(room: Classroom, number: int, content: bytes, media_type: str = "image/png") -> None:
    with room.owner.begin() as conn:
        samples.add_sample(conn, run=room.run, version=Version(number), media_type=media_type, content=content)
