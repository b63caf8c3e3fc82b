"""The record that people are graded from: a chain of contributions for each run."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP

from coordinator.tables.work import metadata

# One link for each merged gradient. A trigger (link_contribution) makes all of it but the gradient's id, and another
# refuses every change. Nothing refers to other tables: they may be pruned before it.
contributions = Table(
    "contributions",
    metadata,
    Column("run_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("gradient_id", BigInteger, nullable=False),
    Column("unit_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("volunteer", Text, nullable=False),
    Column("worker_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("num_samples", BigInteger, nullable=False),
    Column("weight", Double, nullable=False),
    # Of the gradient; a private run does not tell it.
    Column("sha256", BYTEA),
    Column("merged_at", TIMESTAMP(timezone=True), nullable=False),
    # The hash of the link before.
    Column("previous", BYTEA, nullable=False),
    Column("hash", BYTEA, nullable=False),
    PrimaryKeyConstraint("run_id", "number"),
    UniqueConstraint("gradient_id"),
)
