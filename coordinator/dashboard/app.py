"""The page and its JSON, as one ASGI application (docs/reference/dashboard.md)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from contract.errors import BarnraiseError, DatabaseError, NotFound
from coordinator.dashboard.access import Access, Guard
from coordinator.dashboard.archive import Archive
from coordinator.dashboard.channels import Channel, encoded
from coordinator.dashboard.reader import Reader
from coordinator.dashboard.streams import SLOWEST_SECONDS, Drop, Stream

STATIC: Final = Path(__file__).parent / "static"
# Windows asks its registry, in which any program may have written that scripts are plain text.
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip
_NO_VERSION: Final = 2**63
_MOST_VIEWERS: Final = 1000
# A look takes milliseconds; where it does not, the answer is what is known.
_PATIENCE_SECONDS: Final = 5.0


def build(
    *,
    reader: Reader,
    archive: Archive,
    access: Access,
    chosen: str | None = None,
    drop: Drop = lambda _scope: None,
    most_viewers: int = _MOST_VIEWERS,
    slowest_seconds: float = SLOWEST_SECONDS,
    more_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """`chosen` is the run that is shown first. `more_routes` are what else is to be had here, under the same rules."""
    page = Page(
        reader=reader,
        archive=archive,
        chosen=chosen,
        drop=drop,
        most_viewers=most_viewers,
        slowest_seconds=slowest_seconds,
    )

    @contextlib.asynccontextmanager
    async def living(_app: Starlette) -> AsyncIterator[None]:
        reader.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            await run_in_threadpool(reader.close)

    return Starlette(
        routes=[
            Route("/", page.index),
            Route("/api/runs", page.runs),
            Route("/api/runs/{run}", page.run),
            Route("/api/runs/{run}/live", page.live),
            Route("/api/runs/{run}/samples/{version:int}", page.sample),
            Mount("/static", _Static(directory=STATIC)),
            *more_routes,
        ],
        middleware=[Middleware(Guard, access=access), Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={HTTPException: _refusal, BarnraiseError: _failure},
        lifespan=living,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    reader: Reader
    archive: Archive
    chosen: str | None
    drop: Drop
    most_viewers: int
    slowest_seconds: float

    async def index(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def runs(self, request: Request) -> Response:
        found = await run_in_threadpool(self.archive.runs)
        running = [run.run for run in found if run.state == "running"] or [run.run for run in found]
        chosen = self.chosen if any(run.run == self.chosen for run in found) else next(iter(running), None)
        body = encoded({"runs": [dataclasses.asdict(run) for run in found], "chosen": chosen})
        return _tagged(request, body, "application/json")

    async def run(self, request: Request) -> Response:
        channel = await self._channel(request)
        return _tagged(request, channel.since(0), "application/json", tag=f"{id(channel):x}-{channel.revision}")

    async def live(self, request: Request) -> Response:
        if self.reader.num_viewers >= self.most_viewers:
            raise HTTPException(503, "too many people are looking", headers={"Retry-After": "30"})
        return Stream(await self._channel(request), drop=self.drop, slowest_seconds=self.slowest_seconds)

    async def sample(self, request: Request) -> Response:
        run, version = request.path_params["run"], request.path_params["version"]
        found = await run_in_threadpool(self.archive.sample, run, version) if version < _NO_VERSION else None
        if found is None:
            raise HTTPException(404, f"version {version} of {run} left no sample")
        return _tagged(request, found.content, found.media_type, cache="private, max-age=600")

    async def _channel(self, request: Request) -> Channel:
        run = request.path_params["run"]
        if not any(one.run == run for one in await run_in_threadpool(self.archive.runs)):
            raise HTTPException(404, f"there is no run named {run}")
        channel = self.reader.channel(run)
        await channel.refreshed(patience_seconds=_PATIENCE_SECONDS)
        return channel


class _Static(StaticFiles):
    """Looked after at each visit, so that an upgrade is seen at once; what has not changed is not sent again."""

    def file_response(
        self, full_path: PathLike[str] | str, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Cache-Control"] = "no-cache"
        kind = _MEDIA_TYPES.get(Path(full_path).suffix)
        if kind is not None and answer.status_code == 200:
            answer.headers["Content-Type"] = kind
        return answer


def _tagged(
    request: Request, body: bytes, media_type: str, *, tag: str | None = None, cache: str = "no-cache"
) -> Response:
    etag = f'W/"{tag or hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": cache}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def _failure(_request: Request, error: Exception) -> Response:
    """What the server itself said may name hosts and logins; that is for the terminal, not for the room."""
    status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, DatabaseError) else 500
    return JSONResponse({"error": str(type(error)())}, status_code=status)
