"""`coordinator demo`: a whole class on one computer, for a minute. Everything is real, and nothing stays but pictures.

The ledger lives in a folder of its own that is removed at the end; the workers are processes with invitations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from rich.console import Console

from contract.config import Config, load_config
from contract.errors import AddressInUse, BarnraiseError
from contract.states import RunState
from coordinator.attendant import Attendant
from coordinator.demo_ending import Ending, Record
from coordinator.demo_settings import Showing
from coordinator.embedded import EmbeddedSettings
from coordinator.embedded import stop as stop_server
from coordinator.embedded.places import find as find_server
from coordinator.gallery import Gallery
from coordinator.greeting import address_of
from coordinator.invitations import invite, persons_from
from coordinator.ledger import runs, watching
from coordinator.living_run import create_run
from coordinator.local_workers import LocalWorkers
from coordinator.migrating import migrate_place
from coordinator.new_run import new_run, open_workload
from coordinator.place import Place, embedded_settings, open_place
from coordinator.screen import shown
from coordinator.setting_up import free_port
from coordinator.starting import Start

_NAMES: Final = ("ada", "grace", "alan", "barbara", "edsger", "margaret", "dennis", "katherine")
_PORTS_TO_TRY: Final = 5
_GOODBYE_SECONDS: Final = 5.0


class StoppedError(Exception):
    """Somebody wanted the demo to end before there was anything to show."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """`seconds` of training: they count from the first version on."""

    workload: str
    showing: Showing
    seconds: float
    num_workers: int
    directory: Path
    plain: bool
    console: Console
    stop: threading.Event

    def run(self) -> None:
        # The workers compute; what is left of the processors is theirs.
        torch.set_num_threads(1)
        showing = self.showing
        self._say(f"[bold]{self.workload}[/]: {showing.sentence},")
        self._say(f"raised by {self.num_workers} workers on this computer; Ctrl-C ends it at any moment")
        stack = contextlib.ExitStack()
        try:
            record = self._train(stack)
        except BarnraiseError:
            # Ctrl-C in a terminal ends PostgreSQL's own programs under our hands, which is no failure of theirs.
            if self.stop.is_set():
                raise StoppedError from None
            raise
        finally:
            with _undisturbed():
                stack.close()
        Ending(record=record, showing=showing, directory=self.directory, console=self.console).show()

    def _train(self, stack: contextlib.ExitStack) -> Record:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory("", "barnraise-demo-", ignore_cleanup_errors=True))
        )
        # PostgreSQL runs as another user where we are root.
        folder.chmod(0o711)
        self._say("a private PostgreSQL is made, a run, and an invitation for each worker ...")
        file, config, place = self._place(stack, folder)
        engine, name = place.engine, config.run.name
        stack.callback(engine.dispose)
        migrate_place(place)
        persons = persons_from([_name(number) for number in range(self.num_workers)], None)
        invitations = invite(place, config, persons, directory=folder / "invitations")
        with engine.begin() as conn:
            create_run(conn, new_run(config, config_file=file))
        self._require_time()
        gallery = Gallery(engine, open_workload(config), run=name)
        workers = stack.enter_context(LocalWorkers(invitations, folder=folder))
        view = stack.enter_context(
            shown(self.console, engine, run=name, address=address_of(place.public), plain=self.plain)
        )
        attendant = Attendant(gallery=gallery, workers=workers, view=view, seconds=self.seconds, stop=self.stop)
        with attendant:
            Start(
                config=config, config_file=file, place=place, console=Console(quiet=True), view=view, stop=self.stop
            ).run()
        view.close()
        if attendant.failure is not None:
            raise BarnraiseError(attendant.failure)
        with engine.begin() as conn:
            run = runs.read_run(conn, name=name).run
            runs.set_run_state(conn, run=run, state=RunState.FINISHED, reason="the demo is over")
        workers.wait(_GOODBYE_SECONDS)
        gallery.look()
        with engine.begin() as conn:
            snapshot, metrics = watching.look_at(conn, run=name), watching.metrics(conn, run=run)
        if snapshot.run.head_version == 0:
            raise StoppedError
        return Record(snapshot=snapshot, metrics=metrics, stages=gallery.stages, seconds=attendant.seconds_trained)

    def _place(self, stack: contextlib.ExitStack, folder: Path) -> tuple[Path, Config, Place]:
        """With another port where somebody takes the free one before we do."""
        file = folder / "config.yaml"
        for attempt in range(_PORTS_TO_TRY):
            file.write_text(yaml.safe_dump(self._sections()), "utf-8")
            # Nothing that is set in this terminal for a real run concerns the demo.
            config = load_config(file, environ={})
            settings = embedded_settings(config, file)
            if not attempt:
                stack.callback(_forget, settings)
            try:
                return file, config, open_place(config, file)
            except AddressInUse:
                if attempt == _PORTS_TO_TRY - 1:
                    raise
        raise AddressInUse

    def _sections(self) -> dict[str, Any]:
        showing = self.showing
        return {
            "database": {"port": free_port("127.0.0.1")},
            "run": {"name": "demo", "description": showing.sentence},
            "model": {"name": self.workload, **showing.model},
            "data": dict(showing.data),
            # It ends with the clock.
            "training": {
                "num_epochs": 1_000_000,
                "num_workunits_per_update": self.num_workers,
                "spare_units": 0,
                **showing.training,
            },
            "coordinator": {"evaluate_every": 5, "evaluate_samples": 256},
            # For a model this small a graphics card is the long way round.
            "worker": {"device": "cpu", "heartbeat_interval": 1, "work_unit_timeout": 30, "poll_interval": 1},
        }

    def _require_time(self) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _say(self, what: str) -> None:
        self.console.print(what, soft_wrap=True, highlight=False)


def _name(number: int) -> str:
    again, place = divmod(number, len(_NAMES))
    return _NAMES[place] + (f"-{again + 1}" if again else "")


def _forget(settings: EmbeddedSettings) -> None:
    """Stops the server and removes its data, wherever a superuser's had to go."""
    stop_server(settings)
    places = find_server(settings.state_directory) if settings.state_directory.exists() else None
    if places is not None:
        shutil.rmtree(places.home, ignore_errors=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """What is begun to be ended is ended, whoever is impatient."""
    kinds = [signal.SIGINT, signal.SIGTERM]
    before: list[Callable[[int, Any], Any] | int | None] = [signal.signal(kind, signal.SIG_IGN) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
