"""The tables of schema `ledger`: what Alembic compares with the database, and what the coordinator's statements name.

Volunteers have no right to any of them; they call the functions of schema `volunteer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

from contract.states import RunState

metadata = MetaData(
    schema="ledger",
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)


def _identity() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _moment(name: str, *, default_now: bool = False) -> Column[Any]:
    """Times are set by the database's clock, never by a caller's."""
    default = text("now()") if default_now else None
    return Column(name, TIMESTAMP(timezone=True), nullable=not default_now, server_default=default)


def _given(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _json(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


def _one_of(states: Iterable[StrEnum]) -> str:
    return "state IN ({})".format(", ".join(f"'{state}'" for state in states))


def _small(column: str, limit: int) -> CheckConstraint:
    return CheckConstraint(f"length({column}) <= {limit}", name=f"{column}_is_short")


runs = Table(
    "runs",
    metadata,
    _identity(),
    _given("name", Text),
    _given("state", Text),
    Column("state_reason", Text),
    _given("mode", Text),
    _given("workload", Text),
    # Everything that decides what is computed lives here, so no two configurations can disagree.
    _json("workload_options"),
    _json("data"),
    _json("training"),
    _given("seed", BigInteger),
    Column("head_version", BigInteger),
    Column("next_position", BigInteger, nullable=False, server_default=text("0")),
    # No open unit of this run stands before it; claims start here instead of stepping over the dead entries of others.
    Column("claim_floor", BigInteger, nullable=False, server_default=text("0")),
    Column("min_protocol", Integer, nullable=False, server_default=text("1")),
    Column("num_gradients_per_update", Integer, nullable=False, server_default=text("3")),
    Column("lease_seconds", Integer, nullable=False, server_default=text("300")),
    # Heartbeats stretch a lease up to here and no further: a worker that only pretends to work loses its unit.
    Column("max_lease_seconds", Integer, nullable=False, server_default=text("3600")),
    Column("heartbeat_seconds", Integer, nullable=False, server_default=text("30")),
    Column("max_retries", Integer, nullable=False, server_default=text("3")),
    Column("max_leases_per_worker", Integer, nullable=False, server_default=text("4")),
    Column("max_part_bytes", BigInteger, nullable=False, server_default=text("4194304")),
    Column("max_gradient_bytes", BigInteger, nullable=False, server_default=text("1073741824")),
    # The version of another run whose weights this one began with.
    Column("parent_run_id", BigInteger, ForeignKey("ledger.runs.id")),
    Column("parent_version", BigInteger),
    _moment("created_at", default_now=True),
    _moment("started_at"),
    _moment("finished_at"),
    # Whatever coordinator began before this moment ends; one that begins later leads again.
    _moment("stop_asked_at"),
    UniqueConstraint("name"),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'", name="name_is_plain"),
    CheckConstraint("(parent_run_id IS NULL) = (parent_version IS NULL)", name="parent_is_a_version"),
    CheckConstraint(_one_of(RunState), name="state_is_known"),
    CheckConstraint("mode IN ('sync', 'async', 'local')", name="mode_is_known"),
    CheckConstraint("state IN ('created', 'failed') OR started_at IS NOT NULL", name="started_has_a_time"),
    CheckConstraint("(state = 'finished') = (finished_at IS NOT NULL)", name="finished_has_a_time"),
    CheckConstraint("state IN ('created', 'failed') OR head_version IS NOT NULL", name="running_has_a_model"),
    CheckConstraint("head_version >= 0", name="head_version_counts_from_zero"),
    CheckConstraint("lease_seconds >= 3 * heartbeat_seconds", name="lease_spans_three_heartbeats"),
    CheckConstraint("max_lease_seconds >= lease_seconds", name="longest_lease_holds_a_lease"),
    CheckConstraint("heartbeat_seconds >= 1", name="heartbeat_is_positive"),
    CheckConstraint("claim_floor BETWEEN 0 AND next_position", name="floor_lies_below_the_end"),
    CheckConstraint("max_retries >= 0", name="max_retries_counts"),
    CheckConstraint("num_gradients_per_update >= 1", name="update_needs_a_gradient"),
    CheckConstraint("max_leases_per_worker >= 1", name="a_worker_may_work"),
    CheckConstraint("max_part_bytes BETWEEN 1 AND 16777216", name="part_fits_a_message"),
    CheckConstraint("max_gradient_bytes >= max_part_bytes", name="gradient_holds_a_part"),
)

volunteers = Table(
    "volunteers",
    metadata,
    _identity(),
    _given("name", Text),
    Column("display_name", Text),
    _given("role_name", Text),
    Column("max_workers", Integer, nullable=False, server_default=text("16")),
    Column("trust", Float, nullable=False, server_default=text("1")),
    _moment("invited_at", default_now=True),
    _moment("revoked_at"),
    UniqueConstraint("name"),
    UniqueConstraint("role_name"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9_.-]{0,39}$'", name="name_is_plain"),
    CheckConstraint("length(role_name) BETWEEN 1 AND 63", name="role_name_fits"),
    CheckConstraint("trust BETWEEN 0 AND 1", name="trust_is_a_share"),
    CheckConstraint("max_workers >= 1", name="a_volunteer_may_work"),
    _small("display_name", 200),
)

workers = Table(
    "workers",
    metadata,
    _identity(),
    Column("volunteer_id", BigInteger, ForeignKey("ledger.volunteers.id"), nullable=False),
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    # The volunteer's login, once more: a claim need not look the volunteer up.
    _given("role_name", Text),
    _given("name", Text),
    Column("host", Text),
    Column("device", Text),
    _json("capabilities"),
    _json("software"),
    _given("protocol", Integer),
    Column("num_failures_in_a_row", Integer, nullable=False, server_default=text("0")),
    _moment("last_failure_at"),
    _moment("joined_at", default_now=True),
    _moment("left_at"),
    Column("left_reason", Text),
    _small("name", 100),
    _small("host", 200),
    _small("device", 200),
    _small("left_reason", 1000),
    CheckConstraint("length(capabilities::text) <= 8192", name="capabilities_is_small"),
    CheckConstraint("length(software::text) <= 8192", name="software_is_small"),
    Index("ix_workers_joined", "volunteer_id", "joined_at"),
)

# A table of its own, so that a sign of life never touches a row of the queue; fillfactor 50 keeps updates HOT.
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("worker_id", BigInteger, ForeignKey("ledger.workers.id", ondelete="CASCADE"), primary_key=True),
    _moment("at", default_now=True),
    Column("unit_ids", ARRAY(BigInteger), nullable=False, server_default=text("'{}'::bigint[]")),
    Column("phase", Text),
    Column("progress", Float),
    Column("samples_per_second", Float),
    _moment("leases_until"),
    CheckConstraint("progress BETWEEN 0 AND 1", name="progress_is_a_share"),
    CheckConstraint("cardinality(unit_ids) <= 64", name="units_are_few"),
    _small("phase", 40),
    postgresql_with={"fillfactor": 50},
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    _given("number", BigInteger),
    Column("parent", BigInteger),
    _given("sha256", BYTEA),
    _given("num_bytes", BigInteger),
    _given("manifest", JSONB),
    _given("optimizer_step", BigInteger),
    # Whether its weights were written whole; else only the delta leads to it, from the version before.
    Column("is_keyframe", Boolean, nullable=False, server_default=text("false")),
    Column("delta_codec", Text),
    Column("delta_bytes", BigInteger),
    Column("is_keeper", Boolean, nullable=False, server_default=text("false")),
    _moment("created_at", default_now=True),
    PrimaryKeyConstraint("run_id", "number"),
    CheckConstraint("number >= 0 AND parent < number", name="parent_comes_first"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_is_whole"),
    CheckConstraint("num_bytes > 0", name="has_bytes"),
    CheckConstraint("(delta_codec IS NULL) = (delta_bytes IS NULL)", name="delta_has_a_codec"),
    CheckConstraint("delta_bytes > 0", name="delta_has_bytes"),
    CheckConstraint("is_keyframe OR delta_bytes IS NOT NULL", name="can_be_fetched"),
    CheckConstraint("optimizer_step >= 0", name="optimizer_step_counts"),
)

model_parts = Table(
    "model_parts",
    metadata,
    _given("run_id", BigInteger),
    _given("version", BigInteger),
    _given("kind", Text),
    _given("part", Integer),
    _given("sha256", BYTEA),
    # A part is compressed already (or is noise): EXTERNAL skips the attempt and allows ranged reads.
    _given("content", BYTEA),
    PrimaryKeyConstraint("run_id", "version", "kind", "part"),
    CheckConstraint("kind IN ('weights', 'delta', 'optimizer')", name="kind_is_known"),
    CheckConstraint("part >= 0", name="part_counts_from_zero"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_is_whole"),
    CheckConstraint("octet_length(content) BETWEEN 1 AND 16777216", name="part_fits_a_message"),
)

# What a unit may look like in which state is guarded by a trigger (guard_unit): CHECKs would slow every claim down.
work_units = Table(
    "work_units",
    metadata,
    _identity(),
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    # The order in which units are handed out; the coordinator's scheduler decides it.
    _given("position", BigInteger),
    _given("epoch", Integer),
    _given("first_sample", BigInteger),
    _given("num_samples", Integer),
    _given("seed", BigInteger),
    # Set when the unit belongs to one version (all modes but async); else the head at the moment of the claim counts.
    Column("planned_version", BigInteger),
    Column("base_version", BigInteger),
    _given("state", Text),
    Column("state_reason", Text),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("num_failures", Integer, nullable=False, server_default=text("0")),
    Column("worker_id", BigInteger),
    Column("lease_token", Uuid),
    _moment("leased_at"),
    _moment("lease_expires_at"),
    _moment("created_at", default_now=True),
    _moment("finished_at"),
    Index("ix_work_units_open", "run_id", "position", postgresql_where=text("state = 'open'")),
    Index("ix_work_units_leased", "worker_id", postgresql_where=text("state = 'leased'")),
    postgresql_with={
        "fillfactor": 70,
        # Dead tuples, not depth, slow a queue down: vacuum early and without pausing.
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 5000,
        "autovacuum_vacuum_cost_delay": 0,
    },
)

# Guarded by a trigger (guard_gradient), as the units are.
# No foreign keys to units and workers: this is history, and they may be pruned before it.
gradients = Table(
    "gradients",
    metadata,
    _identity(),
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    _given("unit_id", BigInteger),
    _given("attempt", Integer),
    _given("worker_id", BigInteger),
    _given("base_version", BigInteger),
    _given("state", Text),
    Column("codec", Text),
    Column("num_samples", BigInteger),
    _json("losses"),
    Column("num_bytes", BigInteger, nullable=False, server_default=text("0")),
    # All that came, parts that came again included.
    Column("sent_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("num_parts", Integer),
    Column("sha256", BYTEA),
    Column("verdict", Text),
    Column("weight", Double),
    Column("merged_version", BigInteger),
    _moment("created_at", default_now=True),
    _moment("submitted_at"),
    _moment("finished_at"),
    UniqueConstraint("unit_id", "attempt"),
    Index("ix_gradients_waiting", "run_id", "id", postgresql_where=text("state = 'submitted'")),
    Index("ix_gradients_uploading", "run_id", postgresql_where=text("state = 'uploading'")),
    # The newest fates are asked for: of the last minute, of the last thousand.
    Index("ix_gradients_finished", "run_id", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index("ix_gradients_worker", "worker_id", "id"),
    postgresql_with={"fillfactor": 80},
)

gradient_blobs = Table(
    "gradient_blobs",
    metadata,
    Column("gradient_id", BigInteger, ForeignKey("ledger.gradients.id", ondelete="CASCADE"), nullable=False),
    _given("part", Integer),
    _given("content", BYTEA),
    PrimaryKeyConstraint("gradient_id", "part"),
    CheckConstraint("part >= 0", name="part_counts_from_zero"),
    CheckConstraint("octet_length(content) BETWEEN 1 AND 16777216", name="part_fits_a_message"),
    # The coordinator vacuums after each merge; giving pages back to the system would only fetch them again.
    postgresql_with={"vacuum_truncate": "off", "toast.vacuum_truncate": "off"},
)

aggregations = Table(
    "aggregations",
    metadata,
    _given("run_id", BigInteger),
    _given("version", BigInteger),
    _given("rule", Text),
    _json("options"),
    _given("gradient_ids", ARRAY(BigInteger)),
    _given("weights", ARRAY(Double)),
    _given("input_sha256", BYTEA),
    _given("output_sha256", BYTEA),
    _given("seconds", Double),
    _moment("created_at", default_now=True),
    PrimaryKeyConstraint("run_id", "version"),
    CheckConstraint("cardinality(gradient_ids) = cardinality(weights)", name="a_weight_each"),
    CheckConstraint("octet_length(input_sha256) = 32 AND octet_length(output_sha256) = 32", name="sha256_is_whole"),
)

metrics = Table(
    "metrics",
    metadata,
    _given("run_id", BigInteger),
    _given("version", BigInteger),
    _given("name", Text),
    _given("value", Double),
    _moment("at", default_now=True),
    PrimaryKeyConstraint("run_id", "version", "name"),
    _small("name", 100),
)

# What somebody would want to hear of. That units come and go is seen elsewhere.
NOTABLE_EVENT = """subject IN ('run', 'worker') OR new_state IN ('failed', 'rejected')
 OR (old_state = 'leased' AND new_state = 'open')"""

events = Table(
    "events",
    metadata,
    _identity(),
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("run_id", BigInteger),
    _given("subject", Text),
    Column("subject_id", BigInteger),
    Column("old_state", Text),
    Column("new_state", Text),
    # When the old state was entered: the beginning of a lease is told at its end.
    _moment("since"),
    Column("worker_id", BigInteger),
    Column("actor", Text, nullable=False, server_default=text("session_user")),
    Column("reason", Text),
    # They are one in thousands: whoever asks for the last of them does not search the log.
    Index("ix_events_notable", "run_id", "id", postgresql_where=text(NOTABLE_EVENT)),
)

# Leadership is a row lease, never an advisory lock: any login could take an advisory lock and hold it.
leaders = Table(
    "leaders",
    metadata,
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id", ondelete="CASCADE"), primary_key=True),
    Column("holder", Uuid, nullable=False),
    _given("host", Text),
    Column("term", BigInteger, nullable=False, server_default=text("1")),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
    _moment("elected_at", default_now=True),
)
