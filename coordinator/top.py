"""`coordinator top`: the live view for anybody, from any machine, and the keys that choose what it shows."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from sqlalchemy import Connection, Engine

from contract.errors import BarnraiseError
from contract.ids import Version
from coordinator import keys
from coordinator.following import trouble_in_words
from coordinator.glass import Glass
from coordinator.ledger import views, watching
from coordinator.ledger.records import run_names
from coordinator.ledger.watching import Snapshot
from coordinator.live_view import Order, Scene
from coordinator.pictures import PICTURE, Pixels, images_in
from coordinator.troubles import Troubles

_NEXT_RUN: Final = ("n", "right")
_RUN_BEFORE: Final = ("p", "left")
_MORE_WORKERS: Final = ("space", "down", "page down")
_WORKERS_BEFORE: Final = ("up", "page up")
_QUIT: Final = ("q", "Q", "escape", keys.END)
# On a smaller screen the workers need the room.
_WIDE: Final = 100
_HIGH: Final = 30
_LOOK_UP_SECONDS: Final = 1.0


class Top:
    def __init__(self, console: Console, engine: Engine, *, run: str) -> None:
        self._engine, self._run = engine, run
        self._console = console
        self._order, self._page = Order.ARRIVAL, 0
        self._images: Pixels | None = None
        self._pictured: tuple[str, Version] | None = None
        self._glass = Glass(console, look=self._look, scene=self._scene, troubles=Troubles(self._troubled))

    def show(self) -> None:
        """Until somebody ends it."""
        with keys.pressed() as read:
            self._glass.open()
            try:
                while (key := read(_LOOK_UP_SECONDS)) not in _QUIT:
                    if key is not None:
                        self._pressed(key)
            finally:
                self._glass.close()

    def _pressed(self, key: str) -> None:
        if key in _NEXT_RUN:
            self._turn_to(+1)
        elif key in _RUN_BEFORE:
            self._turn_to(-1)
        elif key in _MORE_WORKERS:
            self._page += 1
        elif key in _WORKERS_BEFORE:
            self._page -= 1
        elif key == "s":
            orders = list(Order)
            self._order = orders[(orders.index(self._order) + 1) % len(orders)]
            self._page = 0
        self._glass.redraw()

    def _turn_to(self, step: int) -> None:
        try:
            with self._engine.begin() as conn:
                names = run_names(conn)
        except BarnraiseError as error:
            self._glass.note(str(error).splitlines()[0])
            return
        place = names.index(self._run) if self._run in names else 0
        following = names[(place + step) % len(names)] if names else self._run
        if following != self._run:
            self._run, self._page = following, 0
            self._glass.look_now(forget=True)

    def _look(self) -> Snapshot:
        run = self._run
        with self._engine.begin() as conn:
            snapshot = watching.look_at(conn, run=run)
            self._look_at_pictures(conn, run)
        return snapshot

    def _look_at_pictures(self, conn: Connection, run: str) -> None:
        """A picture is read when it is new: it is larger than all the rest."""
        kept = [sample for sample in views.seen_samples(conn, run=run) if sample.media_type == PICTURE]
        newest = (run, kept[-1].version) if kept else None
        if newest == self._pictured:
            return
        content = None if newest is None else views.sample_content(conn, run=run, version=kept[-1].version)
        self._images, self._pictured = None if content is None else images_in(content), newest

    def _scene(self, snapshot: Snapshot) -> Scene:
        return Scene(
            snapshot=snapshot,
            notes=self._glass.notes,
            silent_seconds=self._glass.silent_seconds,
            images=self._images if self._console.width >= _WIDE and self._console.height >= _HIGH else None,
            order=self._order,
            page=self._page,
            has_keys=True,
        )

    def _troubled(self, report: object) -> None:
        if words := trouble_in_words(report):
            self._glass.note(words)
