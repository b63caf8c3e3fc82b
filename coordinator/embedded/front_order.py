"""What the front is told, and the record it leaves; both travel as JSON between two processes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from coordinator.embedded.account import Account


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    half_open: int = 100
    half_open_per_address: int = 20
    waiting: int = 400
    waiting_per_address: int = 200
    fair_seconds: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrontOrder:
    host: str
    port: int
    server_port: int
    certificate: str
    key: str
    record: str
    lock: str
    log: str
    account: Account | None = None
    max_connections: int = 300
    handshake_seconds: float = 10.0
    login_seconds: float = 30.0
    gate: GateLimits = dataclasses.field(default_factory=GateLimits)

    def dump(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def load(text: str) -> FrontOrder:
        values = json.loads(text)
        account = None if values["account"] is None else Account(**values["account"])
        return FrontOrder(**{**values, "account": account, "gate": GateLimits(**values["gate"])})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrontRecord:
    """`error` says why it could not begin; `address_in_use` is the one the caller can explain better."""

    pid: int
    order: str
    error: str | None = None
    address_in_use: bool = False

    def dump(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def read(path: Path) -> FrontRecord | None:
        try:
            return FrontRecord(**json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
