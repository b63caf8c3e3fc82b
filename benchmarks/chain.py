"""What does the chain of contributions cost? A merge with and without its links, and `ledger verify` of a long chain.

python -m benchmarks.chain [--links 1000000] [--merges 200] [--gradients 16]
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from benchmarks.server import BenchLedger, bench_ledger, quiet_server
from benchmarks.table import Row, print_rows
from contract.ids import GradientId, Version
from coordinator.ledger import contributions, gradients, versions
from coordinator.verifying import verify

_SUBMITTED = text("""
    WITH begun AS (
        INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state)
        SELECT :run, n, 1, :worker, 0, 'uploading' FROM generate_series(CAST(:first AS bigint), :last) n RETURNING id)
    SELECT id FROM begun ORDER BY id""")
_COMPLETE = text("""
    UPDATE ledger.gradients
       SET state = 'submitted', codec = 'none', num_samples = 320, num_parts = 1, submitted_at = now(),
           sha256 = sha256(int8send(id))
     WHERE state = 'uploading'""")
# What a run of months has merged: its history is made at once, its links one by one by the trigger.
_MERGED = text("""
    INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state, codec, num_samples,
                                  num_parts, sha256, submitted_at, weight, merged_version, finished_at)
    SELECT :run, n, 1, :worker, 0, 'merged', 'none', 320, 1, sha256(int8send(n)), now(), 1.0 / :each,
           (n - 1) / :each + 1, now()
      FROM generate_series(1, CAST(:num AS bigint)) n""")
_AGGREGATED = text("""
    INSERT INTO ledger.aggregations (run_id, version, rule, gradient_ids, weights, input_sha256, output_sha256, seconds)
    SELECT run_id, merged_version, 'mean', array_agg(id ORDER BY id), array_agg(weight),
           sha256(string_agg(sha256, '' ORDER BY id)), sha256(''), 0
      FROM ledger.gradients WHERE state = 'merged' GROUP BY run_id, merged_version""")
_LINKED = text("""
    INSERT INTO ledger.contributions (gradient_id)
    SELECT id FROM ledger.gradients WHERE state = 'merged' ORDER BY id""")
_SIZE: Final = "SELECT pg_total_relation_size('ledger.contributions')"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """In seconds: of merges without links, of merges with them, and of the statement that makes them."""

    without: Sequence[float]
    linked: Sequence[float]
    link: Sequence[float]


def fill(ledger: BenchLedger, num_links: int, each: int) -> float:
    """Answers with the seconds that one link took."""
    values = {"run": ledger.run, "worker": ledger.workers.start, "num": num_links, "each": each}
    with ledger.owner.begin() as conn:
        conn.execute(text("ALTER TABLE ledger.gradients DISABLE TRIGGER USER"))
        conn.execute(_MERGED, values)
        conn.execute(text("ALTER TABLE ledger.gradients ENABLE TRIGGER USER"))
        conn.execute(_AGGREGATED)
        began = time.monotonic()
        conn.execute(_LINKED)
        return (time.monotonic() - began) / num_links


def merge_often(ledger: BenchLedger, *, first: Version, times: int, each: int) -> Merged:
    """By turns without and with links, as a coordinator does it; the model is nothing, the database's part is all."""
    merged: dict[bool, list[float]] = {False: [], True: []}
    link = []
    for turn in range(2 * times):
        version, is_linked = Version(first + turn), turn % 2 == 1
        with ledger.owner.begin() as conn:
            unit = 10**9 + turn * each
            values = {"run": ledger.run, "worker": ledger.workers.start, "first": unit, "last": unit + each - 1}
            ids = [GradientId(one) for one in conn.execute(_SUBMITTED, values).scalars()]
            conn.execute(_COMPLETE)
        began = time.monotonic()
        with ledger.owner.begin() as conn:
            new = versions.NewVersion(
                number=version, parent=None, manifest="{}", optimizer_step=version, parts=[b"weights"]
            )
            versions.publish_version(conn, run=ledger.run, new=new)
            gradients.mark_merged(conn, run=ledger.run, version=version, gradients=ids, weights=[1 / each] * each)
            if is_linked:
                begun = time.monotonic()
                contributions.link_merged(conn, gradients=ids)
                link.append(time.monotonic() - begun)
        merged[is_linked].append(time.monotonic() - began)
    return Merged(without=merged[False], linked=merged[True], link=link)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chain", description=__doc__)
    parser.add_argument("--links", type=int, default=1_000_000)
    parser.add_argument("--merges", type=int, default=200)
    parser.add_argument("--gradients", type=int, default=16, help="of a merge")
    given = parser.parse_args(arguments)
    num_links, each = given.links, given.gradients
    with quiet_server() as server, bench_ledger(server) as ledger:
        per_link = fill(ledger, num_links, each)
        ledger.vacuum()
        size = ledger.scalar(_SIZE)
        before, spent = _peak_bytes(), time.process_time()
        found = verify(ledger.owner, run="bench")
        spent = time.process_time() - spent
        grown = _peak_bytes() - before
        assert found.is_whole, found.broken
        assert found.whole.num_links == num_links
        merged = merge_often(ledger, first=Version(num_links // each + 2), times=given.merges, each=each)
    without, linked = statistics.median(merged.without), statistics.median(merged.linked)
    print_rows(
        "The chain of contributions",
        [
            Row(
                question=f"a merge of {each}, all that the database does, with {num_links:,} links there",
                measured=f"{1e3 * linked:.2f} ms",
                against=f"without links {1e3 * without:.2f} ms",
                ratio=linked / without,
            ),
            Row(
                question=f"the {each} links alone",
                measured=f"{1e3 * statistics.median(merged.link):.2f} ms",
                against=f"at best {1e3 * min(merged.link):.2f} ms",
            ),
            Row(question="a link in a long INSERT", measured=f"{1e6 * per_link:.0f} µs"),
            Row(question="a link on disk, its indexes included", measured=f"{size / num_links:.0f} bytes"),
            Row(
                question=f"ledger verify of {num_links:,} links",
                measured=f"{found.seconds:.1f} s",
                against=f"{spent:.1f} s of them in Python, {grown / 1e6:.0f} MB more memory",
            ),
        ],
        ["Medians of merges taken by turns."],
    )


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
