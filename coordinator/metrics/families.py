"""From readings to metric families. The names are a promise: dashboards and alerts of others stand on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from contract.states import RunState
from coordinator.ledger import views
from coordinator.metrics.readings import Readings, RunReading

Labelled = tuple[Sequence[str], float | None]

_UNIT_STATES: Final = ("open", "leased", "submitted", "merged", "failed", "cancelled")
_FATES: Final = ("merged", "stale", "refused", "late")
_TABLE_ITEMS: Final = {
    "size of ": ("barnraise_database_table_size_bytes", "A table of the ledger with its indexes."),
    "dead rows of ": ("barnraise_database_dead_rows", "Rows that are dead and not yet swept up, by table."),
}
_SERVER_ITEMS: Final = {
    "size of the database": ("barnraise_database_size_bytes", "The whole database."),
    "connections to this database": ("barnraise_database_connections", "Sessions: coordinator, workers, onlookers."),
    "free connections of the server": (
        "barnraise_database_free_connections",
        "Free connections of the server; each worker takes up to four.",
    ),
    "time since the server started": ("barnraise_database_uptime_seconds", "Since PostgreSQL was started."),
    "transactions since the last freeze": (
        "barnraise_database_unfrozen_transactions",
        "Transactions since the last freeze; the server refuses to write at 2,100 million.",
    ),
    "notifications that wait": (
        "barnraise_database_notification_queue_ratio",
        "Notifications that wait, of those that fit; at 1 nobody can submit.",
    ),
}


def up(is_up: bool) -> Metric:
    return GaugeMetricFamily("barnraise_up", "1 where the ledger could be read.", value=float(is_up))


def families(readings: Readings) -> Iterator[Metric]:
    yield from _of_runs(readings.runs)
    yield from _of_volunteers(readings.runs)
    yield from _of_the_database(readings.health)


def _of_runs(runs: Sequence[RunReading]) -> Iterator[Metric]:
    def gauge(name: str, what: str, tell: Callable[[RunReading], Sequence[Labelled]], *labels: str) -> Metric:
        return _filled(GaugeMetricFamily(name, what, labels=("run", *labels)), runs, tell)

    def counter(name: str, what: str, tell: Callable[[RunReading], Sequence[Labelled]], *labels: str) -> Metric:
        return _filled(CounterMetricFamily(name, what, labels=("run", *labels)), runs, tell)

    def each(one: Callable[[RunReading], float | None]) -> Callable[[RunReading], Sequence[Labelled]]:
        return lambda run: [((), one(run))]

    yield gauge(
        "barnraise_run_info", "What is trained, and how; always 1.",
        lambda run: [((run.progress.workload, run.progress.mode), 1)], "workload", "mode",
    )  # fmt: skip
    yield gauge(
        "barnraise_run_state", "1 for the state that the run is in, 0 for the others.",
        lambda run: [((state,), float(run.progress.state == state)) for state in RunState], "state",
    )  # fmt: skip
    yield gauge("barnraise_leader_present", "1 while a coordinator leads the run.", each(lambda run: float(run.is_led)))
    yield gauge("barnraise_version", "Number of the newest version.", each(lambda run: run.progress.head_version))
    yield gauge("barnraise_last_merge_timestamp_seconds", "When the newest version was published.", each(_last_merge))
    yield gauge(
        "barnraise_units", "Work units: open, leased, submitted, merged, failed, cancelled.",
        lambda run: [((state,), getattr(run.progress, f"num_{state}")) for state in _UNIT_STATES], "state",
    )  # fmt: skip
    yield counter("barnraise_units_claimed", "Claims of units.", each(lambda run: run.progress.num_begun))
    yield gauge("barnraise_units_stalled", "Units whose worker is silent or gone.", each(lambda run: run.num_stalled))
    yield counter(
        "barnraise_samples_merged", "Samples that moved the model.", each(lambda run: run.progress.num_samples_merged)
    )
    yield gauge(
        "barnraise_samples_per_second",
        "Merged, in the last minute.",
        each(lambda run: run.progress.samples_per_second or 0),
    )
    yield gauge("barnraise_done_ratio", "How much of all epochs is done.", each(lambda run: run.progress.share_done))
    yield gauge(
        "barnraise_eta_seconds", "To the run's end, at the pace of the last minute.",
        each(lambda run: run.progress.eta_seconds),
    )  # fmt: skip
    yield gauge(
        "barnraise_workers", "Workers that are present, and those that are silent and did not leave.",
        lambda run: [(("present",), run.headcount.num_present), (("silent",), run.headcount.num_silent)], "state",
    )  # fmt: skip
    yield counter("barnraise_workers_left", "Workers that left.", each(lambda run: run.headcount.num_gone))
    yield gauge("barnraise_suspects", "Workers to have a look at.", each(lambda run: run.num_suspects))
    yield counter(
        "barnraise_gradients", "Gradients whose fate is known: merged, stale, refused, late.",
        lambda run: [((fate,), getattr(run.fate, f"num_{fate}")) for fate in _FATES], "fate",
    )  # fmt: skip
    yield counter("barnraise_gradients_submitted", "Gradients that arrived.", each(lambda run: run.fate.num_submitted))
    yield gauge("barnraise_acceptance_ratio", "Merged, of those whose fate is known.", each(_acceptance))
    yield gauge(
        "barnraise_staleness_versions", "Versions between claim and merge, on average.",
        each(lambda run: run.fate.mean_staleness),
    )  # fmt: skip
    yield counter(
        "barnraise_bytes",
        "Sent up: raw as values would be whole, coded as the codec made them, sent as all that came.",
        lambda run: [((kind,), getattr(run.traffic, f"{kind}_bytes")) for kind in ("raw", "coded", "sent")], "kind",
    )  # fmt: skip
    yield gauge(
        "barnraise_loss", "The newest of each figure that was measured of a version.",
        lambda run: [((loss.name,), loss.value) for loss in run.losses], "name",
    )  # fmt: skip
    yield _steps(runs)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily,
    runs: Sequence[RunReading],
    tell: Callable[[RunReading], Sequence[Labelled]],
) -> Metric:
    """What is unknown is left out: 0 would be an answer."""
    for run in runs:
        for labels, value in tell(run):
            if value is not None:
                family.add_metric((run.progress.run, *labels), value)
    return family


def _last_merge(run: RunReading) -> float | None:
    return None if run.progress.head_since is None else run.progress.head_since.timestamp()


def _acceptance(run: RunReading) -> float | None:
    known = sum(getattr(run.fate, f"num_{fate}") for fate in _FATES)
    return run.fate.num_merged / known if known else None


def _steps(runs: Sequence[RunReading]) -> Metric:
    family = SummaryMetricFamily(
        "barnraise_step_seconds",
        "How long the steps of a unit took (wait, compute, upload, merge), of the last 1,000.",
        labels=("run", "step"),
    )
    for run in runs:
        for timing in run.timings:
            labels = {"run": run.progress.run, "step": timing.step}
            for quantile, seconds in (("0.5", timing.p50_seconds), ("0.95", timing.p95_seconds)):
                family.add_sample("barnraise_step_seconds", {**labels, "quantile": quantile}, seconds)
    return family


def _of_volunteers(runs: Sequence[RunReading]) -> Iterator[Metric]:
    people = [(run.progress.run, place) for run in runs for place in run.places]
    if not people:
        return
    labels = ("run", "volunteer")
    samples = CounterMetricFamily(
        "barnraise_volunteer_samples_merged", "Samples of a person that moved the model.", labels=labels
    )
    units = CounterMetricFamily(
        "barnraise_volunteer_units_merged", "Units of a person that moved the model.", labels=labels
    )
    ratio = GaugeMetricFamily(
        "barnraise_volunteer_acceptance_ratio", "Of a person's gradients whose fate is known.", labels=labels
    )
    workers = GaugeMetricFamily("barnraise_volunteer_workers", "A person's workers that are here.", labels=labels)
    for run, place in people:
        who = (run, place.volunteer)
        samples.add_metric(who, place.num_samples_merged)
        units.add_metric(who, place.num_units_merged)
        workers.add_metric(who, place.num_workers)
        if place.share_accepted is not None:
            ratio.add_metric(who, place.share_accepted)
    yield from (samples, units, ratio, workers)


def _of_the_database(health: Sequence[views.HealthItem]) -> Iterator[Metric]:
    items = {one.item: one for one in health}
    for item, (name, what) in _SERVER_ITEMS.items():
        if item in items:
            scale = 0.01 if items[item].unit == "percent" else 1
            yield GaugeMetricFamily(name, what, value=items[item].value * scale)
    for prefix, (name, what) in _TABLE_ITEMS.items():
        family = GaugeMetricFamily(name, what, labels=("table",))
        for item in items.keys() - _SERVER_ITEMS.keys():
            if item.startswith(prefix):
                family.add_metric((item.removeprefix(prefix),), items[item].value)
        family.samples.sort(key=lambda sample: sample.labels["table"])
        yield family
    fine = GaugeMetricFamily(
        "barnraise_database_fine", "0 where watch.database_health says that something is not.", labels=("item",)
    )
    for one in health:
        fine.add_metric((one.item,), float(one.is_fine))
    yield fine
