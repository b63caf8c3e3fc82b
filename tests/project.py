"""A project folder, and the commands as people type them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.servers.databases import Database


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    folder: Path
    database: Database

    def run(self, *arguments: str, program: str = "coordinator", **environment: str) -> Result:
        process = self.start(*arguments, program=program, **environment)
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in out + err, out + err
        return Result(code=process.returncode, out=out, err=err)

    def start(
        self, *arguments: str, program: str = "coordinator", output: Path | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """What it says goes to the pipes of the process, or to the file `output`."""
        inherited = {name: value for name, value in os.environ.items() if name not in ("DB_PASSWORD", "CONFIG_PATH")}
        with contextlib.ExitStack() as stack:
            file = subprocess.PIPE if output is None else stack.enter_context(output.open("w"))
            return subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.PIPE if output is None else subprocess.STDOUT,
                text=True,
                env={**inherited, "PYTHONPATH": str(Path(__file__).parents[1]), "COLUMNS": "200", **environment},
            )

    def write_config(self, sections: Mapping[str, Mapping[str, object]] | None = None, **changes: object) -> None:
        """A configuration for the test's database; `changes` are keys of its database section."""
        server = self.database.server
        section: dict[str, object] = {
            "embedded": False,
            "host": server.host,
            "port": server.port,
            "name": self.database.name,
            "user": self.database.owner.role,
            "password": self.database.owner.password,
        }
        (self.folder / "config.yaml").write_text(
            yaml.safe_dump({"database": {**section, **changes}, **(sections or {})}), "utf-8"
        )
