"""Workers on this computer: processes like everybody else's, each with an invitation of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from coordinator.invitations import Invitation

# Whoever has not left by then is in no hurry to.
_GOODBYE_SECONDS = 3.0
_LAST_LINES = 3


@dataclasses.dataclass(slots=True, kw_only=True)
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[-_LAST_LINES:]) or "it said nothing"


class LocalWorkers:
    """Ended with the block they were started in: asked to leave first, then made to."""

    def __init__(self, invitations: Sequence[Invitation], *, folder: Path) -> None:
        self._folder = folder
        self._workers: list[_Worker] = []
        with contextlib.ExitStack() as undoing:
            undoing.callback(self._end)
            for invitation in invitations:
                self._workers.append(self._started(invitation))
            undoing.pop_all()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def failure(self) -> str | None:
        """Why nobody computes any more; None while somebody does."""
        if not self._workers or any(worker.process.poll() is None for worker in self._workers):
            return None
        return f"every worker has ended; {self.last_words()}"

    def last_words(self) -> str:
        first = self._workers[0]
        return f"the last that {first.name} said: {first.last_words()}"

    def wait(self, seconds: float) -> None:
        """Until all have left by themselves, or the time is over."""
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return

    def _started(self, invitation: Invitation) -> _Worker:
        log = self._folder / f"{invitation.name}.log"
        environment = {
            **os.environ,
            "BARNRAISE_HOME": str(self._folder / "home"),
            "PYTHONPATH": os.pathsep.join(filter(None, [_where_we_are(), os.environ.get("PYTHONPATH")])),
        }
        # One thread each: together they must not outnumber the processors.
        command = [sys.executable, "-m", "worker", "join", "--plain", "--threads", "1"]
        command += ["--config", str(invitation.file.resolve())]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                # Ctrl-C in the terminal is for the demo alone: it ends the workers in order.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )  # fmt: skip
        return _Worker(name=invitation.name, process=process, log=log)

    def _end(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        self.wait(_GOODBYE_SECONDS)
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()


def _where_we_are() -> str:
    """The folder of our packages: a checkout is not always installed."""
    return str(Path(__file__).resolve().parents[1])
