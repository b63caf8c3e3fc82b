"""What must hold in the ledger of a finished run, whatever interrupted it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from contract.workloads import WORKLOADS
from coordinator.ledger import runs, versions
from coordinator.mathematics import Mathematics
from coordinator.verifying import verify
from coordinator.weights import read_weights
from tests.integration.recount import assert_tallies_are_true

# Each finds what must not be.
_BREACHES: Final = {
    "a version does not follow its parent": """
        SELECT number, parent FROM ledger.model_versions
         WHERE run_id = :run AND parent IS DISTINCT FROM nullif(number, 0) - 1""",
    "the versions have a gap, or end elsewhere than at the head": """
        SELECT count(*), max(number), max(head_version)
          FROM ledger.model_versions v JOIN ledger.runs r ON r.id = v.run_id WHERE run_id = :run
        HAVING count(*) <> max(number) + 1 OR max(number) <> max(head_version)""",
    "a version is not one step": """
        SELECT number, optimizer_step FROM ledger.model_versions WHERE run_id = :run AND optimizer_step <> number""",
    "a version has no aggregation, or one that made something else": """
        SELECT v.number FROM ledger.model_versions v
          LEFT JOIN ledger.aggregations a ON a.run_id = v.run_id AND a.version = v.number
         WHERE v.run_id = :run AND v.number > 0 AND a.output_sha256 IS DISTINCT FROM v.sha256""",
    "an aggregation made no version": """
        SELECT version FROM ledger.aggregations a WHERE run_id = :run AND NOT EXISTS (
            SELECT FROM ledger.model_versions v WHERE v.run_id = a.run_id AND v.number = a.version)""",
    "a stored part is not what its checksum says": """
        SELECT version, kind, part FROM ledger.model_parts WHERE run_id = :run AND sha256(content) <> sha256""",
    "stored weights are not what their version says": """
        SELECT v.number
          FROM ledger.model_versions v
          JOIN (SELECT version, sha256(string_agg(content, '' ORDER BY part)) AS sha256,
                       sum(octet_length(content)) AS num_bytes, count(*) = max(part) + 1 AS is_whole
                  FROM ledger.model_parts WHERE run_id = :run AND kind = 'weights' GROUP BY version) p
            ON p.version = v.number
         WHERE v.run_id = :run AND (p.sha256 <> v.sha256 OR p.num_bytes <> v.num_bytes OR NOT p.is_whole)""",
    "a stored delta is not what its version says": """
        SELECT v.number
          FROM ledger.model_versions v
          JOIN (SELECT version, sum(octet_length(content)) AS num_bytes, count(*) = max(part) + 1 AS is_whole
                  FROM ledger.model_parts WHERE run_id = :run AND kind = 'delta' GROUP BY version) p
            ON p.version = v.number
         WHERE v.run_id = :run AND (p.num_bytes IS DISTINCT FROM v.delta_bytes OR NOT p.is_whole)""",
    "there is no way to the head": """
        WITH whole AS (SELECT r.head_version, max(p.version) AS version
                         FROM ledger.runs r
                         LEFT JOIN ledger.model_parts p ON p.run_id = r.id AND p.kind = 'weights'
                        WHERE r.id = :run GROUP BY r.head_version)
        SELECT head_version, version FROM whole
         WHERE head_version - version IS DISTINCT FROM (
            SELECT count(*) FROM ledger.model_parts p
             WHERE p.run_id = :run AND p.kind = 'delta' AND p.part = 0 AND p.version > whole.version)""",
    "nobody can go on from here: neither the optimizer nor the gradients since it was last written": """
        SELECT g.id FROM ledger.gradients g
         WHERE g.run_id = :run AND g.state = 'merged'
           AND g.merged_version > coalesce((SELECT max(version) FROM ledger.model_parts p
                                             WHERE p.run_id = g.run_id AND p.kind = 'optimizer'), -1)
           AND NOT EXISTS (SELECT FROM ledger.gradient_blobs b WHERE b.gradient_id = g.id)""",
    "a gradient was counted twice": """
        SELECT gradient, count(*) FROM ledger.aggregations CROSS JOIN unnest(gradient_ids) AS gradient
         WHERE run_id = :run GROUP BY gradient HAVING count(*) > 1""",
    "a gradient counts where its record does not say so": """
        SELECT a.version, gradient FROM ledger.aggregations a CROSS JOIN unnest(a.gradient_ids) AS gradient
          LEFT JOIN ledger.gradients g ON g.id = gradient AND g.state = 'merged' AND g.merged_version = a.version
                                      AND g.run_id = a.run_id
         WHERE a.run_id = :run AND g.id IS NULL""",
    "a merged gradient is in no aggregation": """
        SELECT g.id FROM ledger.gradients g
         WHERE g.run_id = :run AND g.state = 'merged' AND NOT EXISTS (
            SELECT FROM ledger.aggregations a
             WHERE a.run_id = g.run_id AND a.version = g.merged_version AND g.id = ANY (a.gradient_ids))""",
    "an aggregation's input is not what was merged": """
        SELECT a.version FROM ledger.aggregations a
          JOIN (SELECT a.version, sha256(string_agg(g.sha256, '' ORDER BY place)) AS sha256
                  FROM ledger.aggregations a CROSS JOIN unnest(a.gradient_ids) WITH ORDINALITY AS n (gradient, place)
                  JOIN ledger.gradients g ON g.id = n.gradient
                 WHERE a.run_id = :run GROUP BY a.version) i ON i.version = a.version
         WHERE a.run_id = :run AND i.sha256 <> a.input_sha256""",
    "two gradients of one unit count": """
        SELECT unit_id FROM ledger.gradients WHERE run_id = :run AND state = 'merged'
         GROUP BY unit_id HAVING count(*) > 1""",
    "a unit's state is not that of its gradient": """
        SELECT u.id, u.state, g.state FROM ledger.work_units u
          LEFT JOIN ledger.gradients g ON g.unit_id = u.id AND g.attempt = u.attempt
         WHERE u.run_id = :run AND (u.state = 'merged') <> (g.state IS NOT DISTINCT FROM 'merged')""",
    "a gradient waits for ever": """
        SELECT id, state FROM ledger.gradients WHERE run_id = :run AND state = 'submitted'""",
    "a gradient was not used, and nobody says why": """
        SELECT id, state FROM ledger.gradients
         WHERE run_id = :run AND state IN ('rejected', 'discarded') AND coalesce(verdict, '') = ''""",
    "more bytes make a gradient than were sent": """
        SELECT id FROM ledger.gradients WHERE run_id = :run AND sent_bytes < num_bytes""",
    "a unit is left over": """
        SELECT id, state FROM ledger.work_units WHERE run_id = :run AND state NOT IN ('merged', 'cancelled')""",
}
_UNEVEN = """
    SELECT epoch, first_sample, count(*) FROM ledger.work_units WHERE run_id = :run AND state = 'merged'
     GROUP BY epoch, first_sample HAVING count(*) > 1"""
_GAPS = """
    WITH ranges AS (
        SELECT DISTINCT epoch, first_sample, num_samples
          FROM ledger.work_units WHERE run_id = :run AND state = 'merged')
    SELECT epoch, (SELECT sum(num_samples) FROM ranges WHERE ranges.epoch = epochs.epoch) AS merged
      FROM (SELECT CAST(data ->> 'num_samples' AS bigint) AS num_samples,
                   generate_series(0, CAST(training ->> 'num_epochs' AS integer) - 1) AS epoch
              FROM ledger.runs WHERE id = :run) AS epochs
     WHERE num_samples IS DISTINCT FROM (SELECT sum(num_samples) FROM ranges WHERE ranges.epoch = epochs.epoch)"""


def check_ledger(conn: Connection, name: str, *, is_whole: bool = True) -> None:
    """A run that is finished: the chains, the sums, the checksums, and every sample of every epoch of a whole one."""
    run, mode = conn.execute(text("SELECT id, mode FROM ledger.runs WHERE name = :name"), {"name": name}).one()
    queries = {**_BREACHES, **({"samples of an epoch were not used": _GAPS} if is_whole else {})}
    if mode == "sync":
        queries["samples were used twice in an epoch"] = _UNEVEN
    assert_tallies_are_true(conn, run)
    found = {what: conn.execute(text(query), {"run": run}).all() for what, query in queries.items()}
    breaches = {what: rows for what, rows in found.items() if rows}
    assert not breaches, breaches
    assert (broken := verify(conn.engine, run=name).broken) is None, broken
    _read_all(conn, name)


def _read_all(conn: Connection, name: str) -> None:
    """Reading compares with the checksum that was published."""
    record = runs.read_run(conn, name=name)
    how = Mathematics.of(WORKLOADS.build(record.workload, record.workload_options), record.training, seed=record.seed)
    for version in versions.kept_versions(conn, run=record.run):
        assert read_weights(conn, run=record.run, version=version, how=how), f"there is no way to version {version}"
