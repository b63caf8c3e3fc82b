"""Real processes for a benchmark: `coordinator start` on the embedded server, and workers who work when told to."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import psutil
import yaml
from sqlalchemy import Engine

from benchmarks.server import real_disk
from contract.config import load_config
from contract.ids import RunId
from contract.states import RunState
from coordinator.ledger import runs
from coordinator.place import open_place

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_ROOT: Final = Path(__file__).parents[1]
_PATIENCE_SECONDS: Final = 120


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with an embedded server of its own, set up as an instructor's is."""

    folder: Path
    engine: Engine

    def coordinator(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "coordinator", *arguments],
            cwd=self.folder,
            env=environment(self.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"coordinator {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def project() -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="barnraise-bench-", dir=real_disk(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # PostgreSQL runs as another user where we are root.
        folder.chmod(0o711)
        (folder / "config.yaml").write_text(yaml.safe_dump({"database": {"port": _free_port()}}))
        place = open_place(load_config(folder / "config.yaml"), folder / "config.yaml")
        made = Project(folder=folder, engine=place.engine)
        try:
            made.coordinator("migrate")
            yield made
        finally:
            place.engine.dispose()
            made.coordinator("database", "stop")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds of processor time."""

    workers: float
    coordinator: float
    database: float

    def since(self, before: Spent) -> Spent:
        return Spent(
            workers=self.workers - before.workers,
            coordinator=self.coordinator - before.coordinator,
            database=self.database - before.database,
        )


@dataclasses.dataclass(slots=True, kw_only=True)
class Classroom:
    """One run with its coordinator and its workers; between measurements it is paused."""

    project: Project
    run: RunId
    coordinator: subprocess.Popen[bytes]
    workers: Sequence[subprocess.Popen[bytes]]
    logs: Sequence[Path]

    def resume(self) -> None:
        self._set(RunState.RUNNING)

    def pause(self) -> None:
        self._set(RunState.PAUSED)

    def spent(self) -> Spent:
        postmaster = _postmaster(self.project.folder)
        return Spent(
            workers=sum(_seconds(process.pid) for process in self.workers),
            coordinator=_seconds(self.coordinator.pid),
            database=_family_seconds(postmaster),
        )

    def peak_megabytes(self) -> tuple[float, float]:
        """The coordinator's, and the largest worker's."""
        return _peak(self.coordinator.pid), max(_peak(process.pid) for process in self.workers)

    def computed(self) -> list[list[dict[str, Any]]]:
        """Each worker's own log."""
        return [[json.loads(line) for line in log.read_text().splitlines()] for log in self.logs if log.exists()]

    def require_alive(self) -> None:
        for process in (self.coordinator, *self.workers):
            if process.poll() is not None:
                raise RuntimeError(f"process {process.args!r} ended: {self._last_words()}")

    def _last_words(self) -> str:
        return " / ".join(path.read_text()[-500:] for path in sorted(self.project.folder.glob("*.out")))

    def _set(self, state: RunState) -> None:
        with self.project.engine.begin() as conn:
            runs.set_run_state(conn, run=self.run, state=state)


@contextlib.contextmanager
def classroom(
    made: Project, name: str, sections: Mapping[str, Mapping[str, object]], *, num_workers: int
) -> Iterator[Classroom]:
    folder = made.folder
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"run": {"name": name}, **sections}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    invitations = folder / f"invitations-{name}"
    made.coordinator("invite", name, "--config", f"{name}.yaml", "--directory", invitations.name)
    invitation = invitations / f"{name}.yaml"
    told = yaml.safe_load(invitation.read_text())
    told.setdefault("worker", {}).update({"nice": 0, "cache_directory": str(folder / "cache")})
    invitation.write_text(yaml.safe_dump(told))
    with contextlib.ExitStack() as stack:
        start = ["-m", "coordinator", "start", "--config", f"{name}.yaml"]
        coordinator = stack.enter_context(_process(folder, f"{name}-coordinator", start))
        run = _wait_for_run(made.engine, name, coordinator)
        logs = [folder / f"{name}-{number}.log" for number in range(num_workers)]
        join = ["join", "--config", str(invitation)]
        workers = [
            stack.enter_context(
                _process(folder, log.stem, ["-m", "benchmarks.observed_worker", str(log), *join], **ONE_THREAD)
            )
            for log in logs
        ]
        yield Classroom(project=made, run=run, coordinator=coordinator, workers=workers, logs=logs)


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("DB_PASSWORD", "CONFIG_PATH")}
    return {**inherited, "PYTHONPATH": str(_ROOT), "BARNRAISE_HOME": str(folder / "home"), "COLUMNS": "200", **more}


@contextlib.contextmanager
def _process(folder: Path, name: str, arguments: list[str], **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=out, stderr=out, env=environment(folder, **more)
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def talking(arguments: list[str]) -> Iterator[tuple[IO[str], IO[str]]]:
    """A process that is asked on its standard input and answers on its standard output, a line each."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(_ROOT, **ONE_THREAD),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _wait_for_run(engine: Engine, name: str, coordinator: subprocess.Popen[bytes]) -> RunId:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and coordinator.poll() is None:
        with engine.begin() as conn:
            found = runs.find_run(conn, name=name)
        if found is not None and found.state is RunState.RUNNING:
            return found.run
        time.sleep(0.2)
    raise RuntimeError(f"run {name} did not begin")


def _postmaster(folder: Path) -> psutil.Process:
    (pid_file,) = folder.glob(".barnraise/**/postmaster.pid")
    return psutil.Process(int(pid_file.read_text().split()[0]))


def _seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _family_seconds(postmaster: psutil.Process) -> float:
    """Of the server and its sessions; those that ended are in the server's own account."""
    total = 0.0
    for process in (postmaster, *postmaster.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += float(times.user + times.system)
    ended = postmaster.cpu_times()
    return total + float(getattr(ended, "children_user", 0.0) + getattr(ended, "children_system", 0.0))


def _peak(pid: int) -> float:
    """In megabytes; 0 where the system does not say."""
    try:
        words = Path(f"/proc/{pid}/status").read_text().split()
    except OSError:
        return 0.0
    return int(words[words.index("VmHWM:") + 1]) / 1000


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
