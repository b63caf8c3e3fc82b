"""A private PostgreSQL, for a machine that has none."""

from coordinator.embedded.server import ensure_running, has_fallen, status, stop, trim_logs
from coordinator.embedded.settings import EmbeddedSettings, RunningServer, ServerStatus

__all__ = [
    "EmbeddedSettings",
    "RunningServer",
    "ServerStatus",
    "ensure_running",
    "has_fallen",
    "stop",
    "status",
    "trim_logs",
]
