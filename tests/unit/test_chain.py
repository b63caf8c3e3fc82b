from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contract.ids import GradientId, UnitId, Version, WorkerId
from coordinator.chain import Link, Walk, anchor_of, hash_of, serialised

INT64 = st.integers(-(2**63), 2**63 - 1)
# As the database may hold them once somebody has been at it: hashes and checksums of any length, names of any kind.
LINKS = st.builds(
    Link,
    number=INT64,
    gradient=INT64,
    unit=INT64,
    attempt=INT64,
    volunteer=st.text(max_size=12),
    worker=INT64,
    version=INT64,
    num_samples=INT64,
    weight=st.floats(allow_nan=False),
    sha256=st.none() | st.binary(max_size=40),
    merged_at=INT64,
    previous=st.binary(max_size=40),
    hash=st.just(b""),
)
FIELDS = [field.name for field in dataclasses.fields(Link) if field.name != "hash"]
ANCHOR = anchor_of("class", 7)
LINK = Link(
    number=1,
    gradient=GradientId(11),
    unit=UnitId(12),
    attempt=1,
    volunteer="ada",
    worker=WorkerId(13),
    version=Version(1),
    num_samples=64,
    weight=0.25,
    sha256=bytes(range(32)),
    merged_at=817_000_000_000_000,
    previous=ANCHOR,
    hash=b"",
)


def chained(*links: Link) -> list[Link]:
    made: list[Link] = []
    for number, link in enumerate(links, start=1):
        previous = made[-1].hash if made else ANCHOR
        link = dataclasses.replace(link, number=number, previous=previous)
        made.append(dataclasses.replace(link, hash=hash_of(link)))
    return made


def problems(links: Sequence[Link]) -> list[list[str]]:
    walk = Walk(hash=ANCHOR)
    return [walk.step(link) for link in links]


class Reader:
    """The description in docs/decisions/0027, read the other way round."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def take(self, form: str) -> tuple[int | float, ...]:
        size = struct.calcsize(form)
        taken, self.content = self.content[:size], self.content[size:]
        return struct.unpack(form, taken)

    def take_bytes(self) -> bytes | None:
        (length,) = self.take(">i")
        if length == -1:
            return None
        taken, self.content = self.content[: int(length)], self.content[int(length) :]
        return taken


def read(content: bytes) -> dict[str, object]:
    reader = Reader(content)
    found: dict[str, object] = {"previous": reader.take_bytes()}
    found.update(zip(("number", "gradient", "unit", "attempt"), reader.take(">qqqq"), strict=True))
    found["volunteer"] = (reader.take_bytes() or b"").decode()
    found.update(zip(("worker", "version", "num_samples", "weight"), reader.take(">qqqd"), strict=True))
    found["sha256"] = reader.take_bytes()
    (found["merged_at"],) = reader.take(">q")
    assert reader.content == b""
    return found


@given(LINKS)
def test_all_of_a_link_can_be_read_back_from_what_its_hash_covers(link: Link) -> None:
    assert read(serialised(link)) == {name: getattr(link, name) for name in FIELDS}


@given(LINKS, LINKS, st.sets(st.sampled_from(FIELDS)))
def test_no_two_links_look_alike(one: Link, another: Link, shared: set[str]) -> None:
    other = dataclasses.replace(another, **{name: getattr(one, name) for name in shared})
    assume(one != other)
    assert serialised(one) != serialised(other)


@given(st.text(max_size=12), INT64, st.text(max_size=12), INT64)
def test_no_two_runs_have_one_anchor(name: str, seed: int, other_name: str, other_seed: int) -> None:
    assert (anchor_of(name, seed) == anchor_of(other_name, other_seed)) == ((name, seed) == (other_name, other_seed))


def test_what_a_hash_covers_never_changes() -> None:
    assert ANCHOR.hex() == "0b30e6a315283f3164d46d94bd2ca02794c81b00d4407aaafa0b3730665829fe"
    assert hash_of(LINK).hex() == "0b1dd8068758bb033d25e841ec222f016ece75830646c7d3cacdbff84a36c26c"


def test_a_private_link_differs_from_one_whose_checksum_is_empty() -> None:
    assert serialised(dataclasses.replace(LINK, sha256=None)) != serialised(dataclasses.replace(LINK, sha256=b""))


def test_a_whole_chain_has_no_problems() -> None:
    assert problems(chained(LINK, LINK, LINK)) == [[], [], []]


@pytest.mark.parametrize("field", sorted({*FIELDS} - {"previous", "number"}))
def test_a_field_that_was_changed_does_not_fit_its_hash(field: str) -> None:
    first, second = chained(LINK, LINK)
    changed = {"volunteer": "eve", "sha256": None, "weight": 0.5}.get(field, 99)
    found = problems([first, dataclasses.replace(second, **{field: changed})])
    assert found == [[], ["its hash is not that of what it says"]]


def test_a_link_that_names_another_as_the_one_before_is_seen() -> None:
    first, second = chained(LINK, LINK)
    forged = dataclasses.replace(second, previous=bytes(32))
    forged = dataclasses.replace(forged, hash=hash_of(forged))
    assert problems([first, forged]) == [[], ["the hash it names as the one before is not that of link 1"]]


def test_a_chain_of_another_run_does_not_fit() -> None:
    walk = Walk(hash=anchor_of("another", 7))
    assert walk.step(chained(LINK)[0]) == ["the hash it names as the one before is not that of the run's name and seed"]


def test_a_link_out_of_its_place_is_seen() -> None:
    first, second, third = chained(LINK, LINK, LINK)
    assert problems([first, third, second]) == [
        [],
        ["its number is 3, and it comes after link 1", "the hash it names as the one before is not that of link 1"],
        ["its number is 2, and it comes after link 3", "the hash it names as the one before is not that of link 3"],
    ]
