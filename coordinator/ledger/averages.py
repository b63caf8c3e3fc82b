"""What was measured of a run, in as many averages as somebody can see, however long the run."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from contract.ids import Version

Averages = dict[str, list[tuple[Version, float]]]

# To PostgreSQL NaN is greater than any number. What is greater than this could not be added up.
_OF_VALUES = text("""
    SELECT name, max(version) AS version, sum(value) / count(*) AS value
      FROM watch.losses WHERE run = :run AND abs(value) < 1e300
     GROUP BY name, version * :points / greatest(:points, :head + 1) ORDER BY name, version""")
_OF_STRETCHES = text("""
    SELECT name, max(version) AS version, sum(value * num_values) / sum(num_values) AS value
      FROM watch.curves WHERE run = :run
     GROUP BY name, version / :stretch * :stretch * :points / (:head + 1) ORDER BY name, version""")
# As the database adds them up.
_VERSIONS_PER_STRETCH: Final = 16
# With fewer, a stretch too many or too few would show.
_FEWEST_STRETCHES: Final = 4


def averages(conn: Connection, *, run: str, head: Version, points: int) -> Averages:
    """By the name of what was measured: averages over `points` equal parts of the run so far, with the last version in
    each. Of a run of fewer versions each value itself; of a long one the parts are equal but for a few versions.
    """
    is_long = head + 1 >= points * _FEWEST_STRETCHES * _VERSIONS_PER_STRETCH
    found: Averages = {}
    values = {"run": run, "head": head, "points": points, "stretch": _VERSIONS_PER_STRETCH}
    for row in conn.execute(_OF_STRETCHES if is_long else _OF_VALUES, values):
        found.setdefault(row.name, []).append((Version(row.version), row.value))
    return found
