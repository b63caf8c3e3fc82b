"""Tables of what is shown: what versions of the model made, and where they were published."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP

from coordinator.tables.work import metadata

# Each success once, for good.
pushes = Table(
    "pushes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("repository", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
    Index("ix_pushes_last", "run_id", "id"),
)

# What a version made when it was asked: a picture or a text, to be looked at from version to version.
samples = Table(
    "samples",
    metadata,
    Column("run_id", BigInteger, ForeignKey("ledger.runs.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("content", BYTEA, nullable=False),
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("run_id", "version"),
    CheckConstraint("media_type IN ('image/png', 'text/plain')", name="media_type_is_known"),
    CheckConstraint("octet_length(content) BETWEEN 1 AND 16777216", name="content_fits_a_message"),
)
