"""Start, find and stop the front from the process that wants it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from contract.errors import AddressInUse, EmbeddedServerError
from coordinator.embedded import lock
from coordinator.embedded.binaries import child_environment
from coordinator.embedded.front_order import FrontOrder, FrontRecord
from coordinator.embedded.places import Places
from coordinator.embedded.process import address_in_use

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_SOURCES = Path(__file__).resolve().parents[2]
# A child of a child belongs to nobody: it outlives us, and no one has to wait for it.
_DETACH = """
import subprocess, sys
flags = {"start_new_session": True}
if sys.platform == "win32":
    flags = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, **flags)
"""

if sys.platform == "win32":
    # The only way to end a process there, and it leaves no choice.
    _KILL = signal.SIGTERM
else:
    _KILL = signal.SIGKILL


def running_front(places: Places) -> FrontRecord | None:
    """The lock says whether it lives, the record says what it does."""
    if not lock.is_held(places.front_lock):
        return None
    record = FrontRecord.read(places.front_record)
    return record if record is not None and record.error is None else None


def start(places: Places, order: FrontOrder) -> None:
    places.front_record.unlink(missing_ok=True)
    errors = places.logs / "front-start.log"
    paths = [str(_SOURCES), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**child_environment(), "PYTHONPATH": os.pathsep.join(paths)}
    front = [sys.executable, "-m", "coordinator.embedded.front", order.dump()]
    with errors.open("wb") as output:
        detached = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _DETACH, *front],
            env=environment, cwd=places.home, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            check=False, timeout=_START_SECONDS,
        )  # fmt: skip
    deadline = time.monotonic() + _START_SECONDS
    while (record := FrontRecord.read(places.front_record)) is None:
        if detached.returncode != 0 or time.monotonic() > deadline:
            told = errors.read_text("utf-8", errors="replace").strip()
            raise EmbeddedServerError(f"the TLS front did not start within {_START_SECONDS:.0f} s:\n{told[-2000:]}")
        time.sleep(_POLL_SECONDS)
    if record.address_in_use:
        raise AddressInUse(address_in_use(order.host, order.port))
    if record.error is not None:
        raise EmbeddedServerError(f"the TLS front does not start: {record.error}")


def stop(places: Places) -> None:
    record = running_front(places)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        if not _gone(places):
            os.kill(record.pid, _KILL)
            if not _gone(places):
                raise EmbeddedServerError(f"the TLS front (process {record.pid}) cannot be ended")
    places.front_record.unlink(missing_ok=True)


def _gone(places: Places) -> bool:
    deadline = time.monotonic() + _STOP_SECONDS
    while lock.is_held(places.front_lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
