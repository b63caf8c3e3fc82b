"""A server on 127.0.0.1 that speaks as much of the Hugging Face Hub as the real client needs to download datasets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_API = re.compile(r"/api/datasets/(?P<repository>[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<revision>[^/]+)")
_FILE = re.compile(r"/datasets/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclasses.dataclass
class FakeHub:
    endpoint: str
    repositories: dict[str, dict[str, bytes]]
    gated: set[str] = dataclasses.field(default_factory=set)
    requests: list[str] = dataclasses.field(default_factory=list)
    cuts_downloads: bool = False
    tokens: set[str | None] = dataclasses.field(default_factory=set)

    @property
    def downloads(self) -> list[str]:
        return [line for line in self.requests if line.startswith("GET /datasets/")]


@contextmanager
def serving(repositories: dict[str, dict[str, bytes]]) -> Iterator[FakeHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = FakeHub(endpoint=f"http://127.0.0.1:{server.server_port}", repositories=repositories)
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        hub: FakeHub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        hub.tokens.add(self.headers.get("Authorization"))
        match = _API.fullmatch(path) or _FILE.fullmatch(path)
        files = hub.repositories.get(match["repository"]) if match else None
        if match is None or files is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif match["repository"] in hub.gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif match["revision"] not in ("main", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif "path" in match.groupdict():
            content = files[match["path"]]
            etag = hashlib.sha256(content).hexdigest()
            self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, cut=hub.cuts_downloads)
        elif match["what"] == "revision":
            self._send(200, json.dumps({"id": match["repository"], "sha": COMMIT}).encode(), {})
        else:
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha256(content).hexdigest()[:40]}
                for name, content in files.items()
            ]
            self._send(200, json.dumps(tree).encode(), {})

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut
