"""Where everything lies.

    <state>/              secrets/  lock  location
    <home>/               postgres/ (data)  logs/  tls/  internal_port  front.json  front.lock

`home` is the state directory itself, unless the server runs as another user who cannot reach it (a project under
/root): then it is a folder of its own under /var/lib/barnraise, and `location` remembers which.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
from pathlib import Path

from coordinator.embedded.account import Account, can_traverse, give, server_account

_SYSTEM_HOME = Path("/var/lib/barnraise")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    state: Path
    home: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def tls(self) -> Path:
        return self.home / "tls"

    @property
    def start_log(self) -> Path:
        return self.logs / "start.log"

    @property
    def internal_port(self) -> Path:
        return self.home / "internal_port"

    @property
    def front_record(self) -> Path:
        return self.home / "front.json"

    @property
    def front_lock(self) -> Path:
        return self.home / "front.lock"

    def secret(self, name: str) -> str | None:
        path = self.state / "secrets" / name
        return path.read_text("ascii").strip() if path.exists() else None

    def new_secret(self, name: str) -> str:
        value = secrets.token_urlsafe(32)
        write_file(self.state / "secrets" / name, value + "\n", account=None)
        return value


def lock_of(state_directory: Path) -> Path:
    """The lock that start and stop share; makes the state directory."""
    # Others may pass through to the folders the server's account owns; they cannot list it.
    state_directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    return state_directory / "lock"


def find(state_directory: Path) -> Places | None:
    """The places of a server that was set up before."""
    state = state_directory.resolve()
    location = state / "location"
    home = Path(location.read_text("utf-8").strip()) if location.exists() else state
    if not (home / "postgres").exists():
        return None
    return Places(state=state, home=home, account=server_account(home / "postgres"))


def prepare(state_directory: Path) -> Places:
    """Find or make every folder; call it under the lock."""
    state = state_directory.resolve()
    (state / "secrets").mkdir(mode=0o700, exist_ok=True)
    places = find(state_directory)
    if places is None:
        account = server_account(state / "postgres")
        places = Places(state=state, home=_choose_home(state, account), account=account)
    for folder in (places.logs, places.tls):
        folder.mkdir(mode=0o700, exist_ok=True)
        give(folder, places.account)
    return places


def _choose_home(state: Path, account: Account | None) -> Path:
    location = state / "location"
    if location.exists():
        home = Path(location.read_text("utf-8").strip())
    elif can_traverse(state, account):
        return state
    else:
        # The suffix: a project deleted and begun anew at the same path must not find the old one's data.
        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
        home = _SYSTEM_HOME / f"{digest}-{secrets.token_hex(3)}"
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(home / "belongs-to", f"{state}\n", account=None)
    write_file(location, f"{home}\n", account=None)
    return home


def write_file(path: Path, text: str, *, account: Account | None) -> None:
    """Write at once or not at all, mode 0600, owned by the account."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        give(beside, account)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
