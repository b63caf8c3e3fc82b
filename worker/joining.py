"""`worker join`: this process computes by itself, or minds several that do."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rich.console import Console

from contract.config import Config
from contract.logs import LogFormat
from contract.logs.console import LogConsole
from contract.logs.lines import log_as_json
from worker.happenings import Happening, to_line
from worker.invitation import load_invitation
from worker.manners import take_turns
from worker.processes import Crew, Orders
from worker.reporting import View, view_for


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Where the configuration comes from, as it was typed."""

    config_file: Path | None
    token: str | None
    overrides: tuple[str, ...]

    def load(self) -> Config:
        return load_invitation(self.config_file, self.token, overrides=self.overrides)


def join_run(invitation: Invitation, *, plain: bool, log_format: LogFormat = "text") -> int:
    """Answers with the exit code."""
    config = invitation.load()
    console = Console()
    if log_format == "json":
        log_as_json(process="worker", run=config.run.name)
        console = LogConsole(process="worker", topic="join")
    take_turns(config.worker.nice)
    stop = threading.Event()
    num_processes = _num_processes(config)
    with view_for(console, num_processes=num_processes, plain=plain) as view:
        _stop_on_interrupt(stop, view)
        if num_processes == 1:
            _compute(config, invitation.config_file, lambda happening: view.heard(0, happening), stop)
            return 0
        orders = [_orders(invitation, place, num_processes) for place in range(num_processes)]
        return Crew(orders, view.heard, stop).run()


def be_member() -> None:
    """A child of `join_run`."""
    # Ctrl-C in a terminal reaches every process of it; a child leaves when its parent says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = Orders.from_line(sys.stdin.readline())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    threading.Thread(target=_stop_at_the_end_of, args=(sys.stdin, stop), name="parent", daemon=True).start()
    invitation = Invitation(
        config_file=None if orders.config_file is None else Path(orders.config_file),
        token=orders.token,
        overrides=orders.overrides,
    )
    config = _named(invitation.load(), orders.place)
    lock = threading.Lock()

    def tell(happening: Happening) -> None:
        with lock:
            try:
                print(to_line(happening), flush=True)  # noqa: T201
            except OSError:
                # The parent is gone; its pipe went with it.
                stop.set()

    _compute(config, invitation.config_file, tell, stop, place=orders.place, num_processes=orders.num_processes)


def _compute(
    config: Config,
    config_file: Path | None,
    report: Callable[[Happening], None],
    stop: threading.Event,
    *,
    place: int = 0,
    num_processes: int = 1,
) -> None:
    from worker import devices
    from worker.staying import Stay

    device = devices.choose(config.worker.device, place)
    devices.use_threads(config.worker.threads, device=device, num_processes=num_processes)
    Stay(config=config, config_file=config_file, device=device, report=report, stop=stop).run()


def _named(config: Config, place: int) -> Config:
    """Each process of a computer has a name of its own."""
    name = f"{config.worker.name or socket.gethostname()}-{place + 1}"
    return config.model_copy(update={"worker": config.worker.model_copy(update={"name": name})})


def _num_processes(config: Config) -> int:
    if config.worker.processes != "auto":
        return config.worker.processes
    from worker import devices

    return max(1, devices.num_accelerators())


def _orders(invitation: Invitation, place: int, num_processes: int) -> Orders:
    return Orders(
        place=place,
        num_processes=num_processes,
        config_file=None if invitation.config_file is None else str(invitation.config_file),
        token=invitation.token,
        overrides=invitation.overrides,
    )


def _stop_on_interrupt(stop: threading.Event, view: View) -> None:
    """The first Ctrl-C gives the unit back and says goodbye; the second does not wait."""

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        view.note("leaving; Ctrl-C once more leaves at once")

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)


def _stop_at_the_end_of(stream: IO[str], stop: threading.Event) -> None:
    # Not through the stream: at the end of the process its lock would be held by this thread, which still reads.
    while os.read(stream.fileno(), 1024):
        pass
    stop.set()
