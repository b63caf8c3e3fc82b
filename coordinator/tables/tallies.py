"""Tallies: what became of the work so far, counted by the database itself at the moment in which it is decided.

After a million units nobody can count again each time somebody looks. The guards write them (tally_gradient,
tally_unit, tally_merge, tally_metric), in the transaction that decides; nothing else does.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from coordinator.tables.work import metadata


# No foreign keys: this is history, as the record of the merges is.
def _run() -> Column[int]:
    return Column("run_id", BigInteger, nullable=False)


def _total(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _sum(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, server_default=text("0"))


# Of gradients whose fate is known. What is still on its way is counted where it stands, since it is little.
worker_tallies = Table(
    "worker_tallies",
    metadata,
    _run(),
    Column("worker_id", BigInteger, nullable=False),
    _total("num_merged"),
    _total("num_stale"),
    _total("num_refused"),
    _total("num_late"),
    _total("num_samples_merged"),
    _total("staleness_sum"),
    _sum("weight_sum"),
    _sum("seconds_computing"),
    _total("raw_bytes"),
    _total("coded_bytes"),
    # Also of gradients that were never complete.
    _total("sent_bytes"),
    Column("first_at", TIMESTAMP(timezone=True)),
    Column("last_at", TIMESTAMP(timezone=True)),
    PrimaryKeyConstraint("run_id", "worker_id"),
    postgresql_with={"fillfactor": 50},
)

# Units that are over.
unit_tallies = Table(
    "unit_tallies",
    metadata,
    _run(),
    Column("epoch", Integer, nullable=False),
    # A row that is updated a thousand times in one transaction is a thousand rows to step over: so it is sixteen rows.
    # And one more for each unit that failed, for which tally_unit has a reason.
    Column("lane", BigInteger, nullable=False),
    _total("num_merged"),
    _total("num_cancelled"),
    _total("num_failed"),
    _total("num_begun"),
    _total("num_samples_merged"),
    _total("num_samples_failed"),
    # Computed, and not used.
    _total("num_samples_surplus"),
    PrimaryKeyConstraint("run_id", "epoch", "lane"),
    postgresql_with={"fillfactor": 50},
)

# What was merged, as the record of the merges has it.
minute_tallies = Table(
    "minute_tallies",
    metadata,
    _run(),
    Column("minute", TIMESTAMP(timezone=True), nullable=False),
    _total("num_units"),
    _total("num_samples"),
    PrimaryKeyConstraint("run_id", "minute"),
    postgresql_with={"fillfactor": 50},
)

# What was measured, a row for each sixteen versions.
metric_tallies = Table(
    "metric_tallies",
    metadata,
    _run(),
    Column("name", Text, nullable=False),
    Column("stretch", BigInteger, nullable=False),
    Column("last_version", BigInteger, nullable=False),
    _total("num_values"),
    _sum("value_sum"),
    PrimaryKeyConstraint("run_id", "name", "stretch"),
    postgresql_with={"fillfactor": 50},
)
