from __future__ import annotations

import dataclasses
from collections.abc import Mapping

NO_RIGHT = "42501"
LEASE_LOST, OVER_QUOTA, BAD_ARGUMENT, NOT_FOUND, ALREADY_SUBMITTED = "BR001", "BR005", "BR006", "BR007", "BR008"
# An extension that the server does not carry is missed before the right to make it is.
NO_EXTENSION = (NO_RIGHT, "0A000", "58P01")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`sql` is sent as it stands, but for words like <unit>, which are facts of the scene.

    No `refused` means that PostgreSQL takes the statement and does nothing.
    """

    name: str
    sql: str
    refused: tuple[str, ...] = ()
    oldest: int = 14


def refused(name: str, sql: str, *sqlstates: str, oldest: int = 14) -> Case:
    return Case(name=name, sql=sql, refused=sqlstates or (NO_RIGHT,), oldest=oldest)


def without_effect(name: str, sql: str, *, oldest: int = 14) -> Case:
    return Case(name=name, sql=sql, oldest=oldest)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A volunteer's function with arguments that it accepts from the volunteer of the scene."""

    name: str
    arguments: Mapping[str, str]
    refuses_null: Mapping[str, str]

    def call(self, **changes: str) -> str:
        arguments = ", ".join(f"p_{name} => {value}" for name, value in {**self.arguments, **changes}.items())
        return f"SELECT * FROM volunteer.{self.name}({arguments})"


FENCE = {"worker": "<worker>", "unit": "<unit>", "attempt": "<attempt>", "token": "'<token>'"}
FENCE_REFUSES = {"worker": NOT_FOUND, "unit": NOT_FOUND, "attempt": LEASE_LOST, "token": LEASE_LOST}

JOIN = Function(
    name="join_v1",
    arguments={
        "run": "'class'",
        "name": "'laptop'",
        "host": "'host'",
        "device": "'cpu'",
        "capabilities": "'{}'",
        "software": "'{}'",
        "protocol": "1",
    },
    refuses_null={"run": NOT_FOUND, "protocol": "BR003"}
    | dict.fromkeys(("name", "host", "device", "capabilities", "software"), BAD_ARGUMENT),
)
CLAIM = Function(name="claim_v1", arguments={"worker": "<worker>"}, refuses_null={"worker": NOT_FOUND})
HEARTBEAT = Function(
    name="heartbeat_v1",
    arguments={
        "worker": "<worker>",
        "units": "ARRAY[<unit>]",
        "attempts": "ARRAY[<attempt>]",
        "phase": "'computing'",
        "progress": "0.5",
        "samples_per_second": "10",
    },
    refuses_null={"worker": NOT_FOUND} | dict.fromkeys(("units", "attempts", "phase"), BAD_ARGUMENT),
)
FETCH_MANIFEST = Function(
    name="fetch_manifest_v1",
    arguments={"worker": "<worker>", "version": "0", "have": "0"},
    refuses_null={"worker": NOT_FOUND},
)
FETCH_PART = Function(
    name="fetch_part_v1",
    arguments={"worker": "<worker>", "version": "0", "part": "0", "kind": "'weights'"},
    refuses_null={"worker": NOT_FOUND},
)
UPLOAD_PART = Function(
    name="upload_part_v1",
    arguments={**FENCE, "part": "0", "content": "'part'"},
    refuses_null=FENCE_REFUSES | {"part": BAD_ARGUMENT, "content": BAD_ARGUMENT},
)
SUBMIT = Function(
    name="submit_v1",
    arguments={
        **FENCE,
        "codec": "'none'",
        "num_samples": "10",
        "num_parts": "1",
        "num_bytes": "<num_bytes>",
        "sha256": "decode(repeat('ab', 32), 'hex')",
        "losses": """'{"loss": 0.5}'""",
    },
    refuses_null=FENCE_REFUSES
    | dict.fromkeys(("codec", "num_samples", "num_parts", "num_bytes", "sha256", "losses"), BAD_ARGUMENT),
)
RELEASE = Function(
    name="release_v1",
    arguments={**FENCE, "reason": "'closing the lid'", "failed": "false"},
    refuses_null=FENCE_REFUSES | {"reason": BAD_ARGUMENT, "failed": BAD_ARGUMENT},
)
LEAVE = Function(
    name="leave_v1",
    arguments={"worker": "<worker>", "reason": "'good night'"},
    refuses_null={"worker": NOT_FOUND, "reason": BAD_ARGUMENT},
)
FUNCTIONS = (JOIN, CLAIM, HEARTBEAT, FETCH_MANIFEST, FETCH_PART, UPLOAD_PART, SUBMIT, RELEASE, LEAVE)
