"""What the coordinator does besides training: measure, keep order, tidy up. Which duty, how often, in whose thread."""

from __future__ import annotations

import dataclasses
import functools
import secrets
import threading
from pathlib import Path

from contract.config import Config, find_config_file, resolve_path
from contract.config.environment import DASHBOARD_VARIABLE
from contract.sources import SOURCES
from contract.sources.base import Dataset
from coordinator.duties.evaluate import Evaluate
from coordinator.duties.keep_leading import KeepLeading
from coordinator.duties.police import Police
from coordinator.duties.prune_events import PruneEvents
from coordinator.duties.push import Push
from coordinator.duties.raise_server import RaiseServer
from coordinator.duties.roll_call import RollCall
from coordinator.duties.sample import MakeSamples
from coordinator.duties.show_page import ShowPage
from coordinator.duties.trim_logs import TrimLogs
from coordinator.embedded.settings import is_loopback
from coordinator.hub.repository import Repository
from coordinator.leadership import LEASE_SECONDS, Leadership
from coordinator.ledger.runs import RunRecord
from coordinator.living_run import LivingRun
from coordinator.loop import Turn
from coordinator.place import Place, embedded_settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    config: Config
    config_file: Path | None
    place: Place
    record: RunRecord
    living: LivingRun
    leadership: Leadership
    resting: threading.Event
    stop: threading.Event
    overrides: tuple[str, ...] = ()

    def turns(self) -> list[Turn]:
        """Short ones, between the others."""
        engine, settings = self.place.engine, self.config.coordinator
        found = [Turn(duty=RollCall(engine=engine, run=self.living.run), every_seconds=5.0)]
        if settings.keep_events:
            found.append(Turn(duty=PruneEvents(engine=engine, keep_events=settings.keep_events), every_seconds=5.0))
        if self.config.database.embedded:
            trim = TrimLogs(settings=embedded_settings(self.config, self.config_file))
            found.append(Turn(duty=trim, every_seconds=600.0))
        return found

    def beside(self, *looking: Evaluate | MakeSamples | Push | ShowPage | None) -> list[Turn]:
        """What must not wait for a merge, and what a merge must not wait for."""
        settings = self.config.coordinator
        police = Police(
            engine=self.place.engine,
            transaction_seconds=settings.volunteer_transaction_seconds,
            idle_seconds=settings.volunteer_idle_transaction_seconds,
        )
        found = [
            Turn(duty=police, every_seconds=5.0),
            Turn(duty=KeepLeading(leadership=self.leadership), every_seconds=LEASE_SECONDS / 3),
        ]
        if self.config.database.embedded:
            settings_of_server = embedded_settings(self.config, self.config_file)
            found.append(Turn(duty=RaiseServer(settings=settings_of_server), every_seconds=5.0))
        found += [Turn(duty=duty, every_seconds=1.0) for duty in looking if duty is not None]
        return found

    def evaluate(self) -> Evaluate | None:
        settings = self.config.coordinator
        if not settings.evaluate_every:
            return None
        return Evaluate(
            engine=self.place.engine,
            living=self.living,
            open_held_out=functools.partial(open_held_out, self.record, self.living, self.config, self.config_file),
            every=settings.evaluate_every,
            num_samples=settings.evaluate_samples,
            resting=self.resting,
            stop=self.stop,
        )

    def samples(self) -> MakeSamples | None:
        every = self.config.coordinator.sample_every
        if not every:
            return None
        return MakeSamples(engine=self.place.engine, living=self.living, every=every, resting=self.resting)

    def push(self) -> Push | None:
        if not self.config.huggingface.enabled:
            return None
        return Push(
            engine=self.place.engine,
            living=self.living,
            repository=repository_of(self.config),
            config=self.config,
        )

    def page(self) -> ShowPage | None:
        settings = self.config.coordinator
        if not settings.dashboard:
            return None
        options = [word for override in self.overrides for word in ("--set", override)]
        if self.config_file is not None:
            options += ["--config", str(self.config_file)]
        # The same token, and so the same link, however often the page has to be started.
        token = settings.dashboard_token
        secret = secrets.token_urlsafe(18) if token is None else token.get_secret_value()
        is_open = is_loopback(settings.dashboard_host) and token is None
        return ShowPage(options=options, secrets={} if is_open else {DASHBOARD_VARIABLE: secret})


def repository_of(config: Config) -> Repository:
    settings = config.huggingface
    assert settings.repo_id is not None, "a rule of the configuration"
    return Repository(
        repo_id=settings.repo_id,
        token=None if settings.token is None else settings.token.get_secret_value(),
        is_private=settings.private,
    )


def open_held_out(record: RunRecord, living: LivingRun, config: Config, config_file: Path | None) -> Dataset:
    """Of the run's data as the ledger has it; only where it lies is this computer's own business."""
    source = SOURCES.build(record.data["name"], record.data["options"])
    file = find_config_file(config_file)
    path = resolve_path(config.data.path, config_file=file) if config.data.path else None
    return source.open(path=path, split="held_out", num_samples=None, seed=record.seed, **living.workload.view)
