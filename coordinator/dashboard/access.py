"""Who may see the page: whoever sits at this computer; beyond it, whoever has the token."""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import hmac
import secrets
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coordinator.embedded.settings import is_loopback

ALIVE: Final = "/alive"
_ONLY_HERE: Final = ("localhost", "127.0.0.1", "::1")
# What the request for a token looks like.
_FOR_ALL: Final = ("/static/page.css", "/static/first.js", "/static/icon.svg")
_TOKEN_BYTES: Final = 18
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_ASK: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Barnraise: a token is needed</title>
<link rel="stylesheet" href="/static/page.css">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<script src="/static/first.js"></script>
<main class="alone">
  <h1>A token is needed</h1>
  <p>This page is shown to people who have its link. Whoever started <code>coordinator</code> finds the link in their
  terminal; ask them for it, or type its token here.</p>
  <form method="get" action="/">
    <label for="token">Token</label>
    <input id="token" name="token" autocomplete="off" autocapitalize="off" spellcheck="false" required>
    <button>Open the page</button>
  </form>
</main>
</html>
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Without a token the page answers only to the names of this computer: a foreign site's name that leads here (DNS
    rebinding) is none of them. `port` keeps the cookies of two pages on one computer apart."""

    token: str | None = dataclasses.field(repr=False)
    port: int

    @classmethod
    def at(cls, host: str, port: int, *, token: str | None) -> Access:
        """A token of one's own holds on this computer too."""
        if token is None and not is_loopback(host):
            token = secrets.token_urlsafe(_TOKEN_BYTES)
        return cls(token=token, port=port)

    @property
    def cookie(self) -> str:
        return f"barnraise_{self.port}"

    def link(self, host: str) -> str:
        named = f"[{host}]" if ":" in host else host
        query = "" if self.token is None else "?" + urlencode({"token": self.token})
        return f"http://{named}:{self.port}/{query}"

    def opens(self, presented: Iterable[str]) -> bool:
        """In a time that tells nothing of the token."""
        if self.token is None:
            return True
        wanted = self.token.encode()
        return any(hmac.compare_digest(wanted, one.encode()) for one in presented)


class Guard:
    """Stands before everything else: no answer without its headers, and strangers are asked for the token."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """None where whoever asks may pass."""
        if scope["path"] == ALIVE:
            # For what looks whether this process lives; it learns nothing else.
            return PlainTextResponse("alive\n")
        headers = Headers(scope=scope)
        if self._access.token is None:
            return None if _host_of(headers.get("host", "")) in _ONLY_HERE else _not_here()
        query = scope["query_string"].decode("latin-1")
        if "token" in parse_qs(query):
            return self._let_in(scope, query)
        if self._access.opens(_presented(headers, self._access.cookie)) or scope["path"] in _FOR_ALL:
            return None
        return _refused(scope["path"])

    def _let_in(self, scope: Scope, query: str) -> Response:
        """The token leaves the address at once: addresses are shown on projectors and kept in histories."""
        if not self._access.opens(parse_qs(query)["token"]):
            return _refused(scope["path"])
        rest = urlencode([(name, value) for name, value in parse_qsl(query) if name != "token"])
        # Two slashes would name another host.
        answer = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), status_code=303)
        assert self._access.token is not None
        answer.set_cookie(
            # Not "strict": the link is clicked in a chat or a mail, and the answer leads on to the page.
            self._access.cookie, quote(self._access.token, safe=""), httponly=True, samesite="lax",
            secure=scope["scheme"] == "https", max_age=30 * 24 * 3600,
        )  # fmt: skip
        return answer


def _presented(headers: Headers, cookie: str) -> list[str]:
    kept = cookie_parser(headers.get("cookie", "")).get(cookie)
    kind, _, value = headers.get("authorization", "").partition(" ")
    # A token of one's own may have letters that a header cannot hold.
    found = [] if kept is None else [unquote(kept)]
    if kind.lower() == "bearer":
        found.append(value.strip())
    elif kind.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            # Whatever user is named: the token is the password.
            found.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
    return found


def _host_of(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _not_here() -> Response:
    says = (
        "This page answers to localhost alone; `coordinator dashboard --host 0.0.0.0` shows it to others, with a token"
    )
    return PlainTextResponse(says + "\n", status_code=421)


def _refused(path: str) -> Response:
    headers = {"WWW-Authenticate": 'Bearer realm="barnraise"'}
    if path in ("", "/"):
        return HTMLResponse(_ASK, status_code=401, headers=headers)
    return JSONResponse({"error": "a token is needed"}, status_code=401, headers=headers)
