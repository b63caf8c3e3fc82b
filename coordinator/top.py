"""`coordinator top`: the live view for anybody, from any machine, and the keys that choose what it shows."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from sqlalchemy import Engine

from contract.errors import BarnraiseError
from coordinator import keys
from coordinator.following import trouble_in_words
from coordinator.glass import Glass
from coordinator.ledger import watching
from coordinator.ledger.records import run_names
from coordinator.ledger.watching import Snapshot
from coordinator.live_view import Order, Scene
from coordinator.troubles import Troubles

_NEXT_RUN: Final = ("n", "right")
_RUN_BEFORE: Final = ("p", "left")
_MORE_WORKERS: Final = ("space", "down", "page down")
_WORKERS_BEFORE: Final = ("up", "page up")
_QUIT: Final = ("q", "Q", "escape", keys.END)
_LOOK_UP_SECONDS: Final = 1.0


class Top:
    def __init__(self, console: Console, engine: Engine, *, run: str) -> None:
        self._engine, self._run = engine, run
        self._order, self._page = Order.ARRIVAL, 0
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
        with self._engine.begin() as conn:
            return watching.look_at(conn, run=self._run)

    def _scene(self, snapshot: Snapshot) -> Scene:
        return Scene(
            snapshot=snapshot,
            notes=self._glass.notes,
            silent_seconds=self._glass.silent_seconds,
            order=self._order,
            page=self._page,
            has_keys=True,
        )

    def _troubled(self, report: object) -> None:
        if words := trouble_in_words(report):
            self._glass.note(words)
