"""What `coordinator start` says before it begins."""

from __future__ import annotations

from typing import Any

_ONLY_HERE = ("127.0.0.1", "localhost", "::1")


def address_of(public: dict[str, Any]) -> str:
    """Of what an invitation says, the part for people; no password is in it."""
    host, port = (
        (public["url"].host or "the host of database.url", public["url"].port or 5432)
        if "url" in public
        else (public["host"], public["port"])
    )
    return f"{host} port {port}" + (" (this computer only)" if host in _ONLY_HERE else "")
