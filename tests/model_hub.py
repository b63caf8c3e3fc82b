"""A server on 127.0.0.1 that speaks as much of the Hugging Face Hub as the real client needs to make a repository,
write to it and read from it: create, auth-check, preupload, LFS, commit, resolve."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

_REPOSITORY = r"(?P<repository>[^/]+/[^/]+)"
LARGE = (".safetensors", ".png")


@dataclasses.dataclass
class ModelHub:
    """`repositories` hold the files of the last commit. Each of `troubles` is a status with which one commit is
    answered instead of made; while `may_end` is cleared, uploads of large files do not end."""

    endpoint: str
    # Token -> the owner whose repositories it may write.
    writers: dict[str, str] = dataclasses.field(default_factory=lambda: {"hf_ada": "ada"})
    repositories: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    private: set[str] = dataclasses.field(default_factory=set)
    messages: list[str] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)
    troubles: list[int] = dataclasses.field(default_factory=list)
    may_end: threading.Event = dataclasses.field(default_factory=threading.Event)
    objects: dict[str, bytes] = dataclasses.field(default_factory=dict)


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = ModelHub(endpoint=f"http://127.0.0.1:{server.server_port}")
    hub.may_end.set()
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.may_end.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    @property
    def hub(self) -> ModelHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self._body()
        for pattern, method in _ROUTES.items():
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                method(self, body, **match.groupdict())
                return
        self._send(404, b"{}")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    @property
    def _owner(self) -> str | None:
        return self.hub.writers.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _refuses(self, repository: str) -> bool:
        owner = self._owner
        if owner is None:
            self._send(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repository.split("/")[0] != owner:
            self._send(403, b"{}", {"X-Error-Message": "You don't have the rights to write there"})
        elif repository not in self.hub.repositories:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        else:
            return False
        return True

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        owner = self._owner
        repository = f"{asked.get('organization') or owner}/{asked['name']}"
        if owner is None:
            self._send(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repository.split("/")[0] != owner:
            self._send(403, b"{}", {"X-Error-Message": "You don't have the rights to create a model there"})
        else:
            status = 409 if repository in self.hub.repositories else 200
            self.hub.repositories.setdefault(repository, {})
            if asked.get("visibility") == "private":
                self.hub.private.add(repository)
            self._json({"url": f"{self.hub.endpoint}/{repository}", "id": repository}, status=status)

    def validate(self, body: bytes) -> None:
        """A card's header, before it is committed."""
        head = yaml.safe_load(json.loads(body)["content"].split("---")[1])
        self._json({"warnings": [], "errors": [] if isinstance(head, dict) else [{"message": "no table"}]})

    def describe(self, body: bytes, repository: str) -> None:
        if repository in self.hub.repositories:
            self._json({"id": repository, "sha": self._head(repository), "siblings": []})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def may_write(self, body: bytes, repository: str) -> None:
        if not self._refuses(repository):
            self._json({})

    def preupload(self, body: bytes, repository: str) -> None:
        if self._refuses(repository):
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        self._json({"files": files, "commitOid": self._head(repository)})

    def lfs(self, body: bytes, repository: str) -> None:
        if self._refuses(repository):
            return
        objects = []
        for wanted in json.loads(body)["objects"]:
            known = wanted["oid"] in self.hub.objects
            upload = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}", "header": {}}}
            objects.append({**wanted, **({} if known else {"actions": upload})})
        self._json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        self.hub.may_end.wait(60)
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        self._send(200, b"")

    def commit(self, body: bytes, repository: str) -> None:
        if self.hub.troubles:
            self._send(self.hub.troubles.pop(0), b"{}")
            return
        if self._refuses(repository):
            return
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(self.hub.repositories[repository])
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "lfsFile"
                files[value["path"]] = self.hub.objects[value["oid"]]
        self.hub.repositories[repository] = files
        head = self._head(repository)
        self._json({"success": True, "commitOid": head, "commitUrl": f"{self.hub.endpoint}/{repository}/commit/{head}"})

    def resolve(self, body: bytes, repository: str, revision: str, path: str) -> None:
        files = self.hub.repositories.get(repository)
        if files is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", self._head(repository)):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path not in files:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        else:
            etag = hashlib.sha256(files[path]).hexdigest()
            self._send(200, files[path], {"X-Repo-Commit": self._head(repository), "ETag": f'"{etag}"'})

    def _head(self, repository: str) -> str:
        """As a commit's, it follows from all that it holds."""
        files = self.hub.repositories[repository]
        return hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()

    def _json(self, content: dict[str, Any], *, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


_ROUTES: dict[str, Callable[..., None]] = {
    r"POST /api/validate-yaml": _Handler.validate,
    r"POST /api/repos/create": _Handler.create,
    rf"GET /api/models/{_REPOSITORY}": _Handler.describe,
    rf"GET /api/models/{_REPOSITORY}/auth-check/write": _Handler.may_write,
    rf"POST /api/models/{_REPOSITORY}/preupload/main": _Handler.preupload,
    rf"POST /{_REPOSITORY}\.git/info/lfs/objects/batch": _Handler.lfs,
    r"PUT /lfs/(?P<oid>[0-9a-f]{64})": _Handler.store,
    rf"POST /api/models/{_REPOSITORY}/commit/main": _Handler.commit,
    rf"(GET|HEAD) /{_REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)": _Handler.resolve,
}
