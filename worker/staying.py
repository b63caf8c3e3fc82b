"""Between joining and the end of the run: working hours and rests, as the computer's owner wants them."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

from contract.config import Config
from worker.happenings import Report, Resting
from worker.manners import Manners
from worker.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Whoever rests leaves the run, with the reason, and joins again: a place that is kept empty all night would count
    as somebody to wait for, and the model would sit in the memory of a computer that is wanted for something else."""

    config: Config
    config_file: Path | None
    device: str
    report: Report
    stop: threading.Event
    looks_every_seconds: float = 5.0

    def run(self) -> None:
        manners = Manners.of(self.config)
        while not self.stop.is_set():
            reason = manners.why_rest_now()
            if reason is not None:
                self.report(Resting(reason=reason))
                self._rest(manners)
                continue
            with self._working_time(manners) as over:
                Session(
                    config=self.config, config_file=self.config_file, device=self.device, report=self.report,
                    stop=over.event, why_stopped=over.why,
                ).run()  # fmt: skip
            if over.reason is None:
                return

    def _rest(self, manners: Manners) -> None:
        while manners.why_rest_now() is not None and not self.stop.wait(self.looks_every_seconds):
            pass

    @contextlib.contextmanager
    def _working_time(self, manners: Manners) -> Iterator[_Over]:
        over = _Over()
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                if self.stop.wait(self.looks_every_seconds):
                    over.event.set()
                    return
                reason = manners.why_rest_now()
                if reason is not None and not done.is_set():
                    over.reason = reason
                    over.event.set()
                    return

        thread = threading.Thread(target=look, name="manners", daemon=True)
        thread.start()
        try:
            yield over
        finally:
            done.set()


@dataclasses.dataclass(slots=True)
class _Over:
    event: threading.Event = dataclasses.field(default_factory=threading.Event)
    reason: str | None = None

    def why(self) -> str:
        return self.reason or "stopped by its owner"
