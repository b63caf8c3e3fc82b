"""The front's decisions, without a socket."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.embedded.front_order import FrontOrder, GateLimits
from coordinator.embedded.gate import CrowdedError, Gate
from coordinator.embedded.opening import LoginWatch, Opening, ProtocolError, error_response, may_pass, read_header
from coordinator.embedded.settings import is_loopback

PATIENT = GateLimits(half_open=3, half_open_per_address=2, waiting=2, waiting_per_address=1, fair_seconds=30)
HASTY = GateLimits(half_open=3, half_open_per_address=2, waiting=2, waiting_per_address=1, fair_seconds=0)


@pytest.mark.parametrize(
    ("length", "code", "kind"),
    [
        (8, 80877103, Opening.SSL_REQUEST),
        (8, 80877104, Opening.GSSENC_REQUEST),
        (16, 80877102, Opening.CANCEL_REQUEST),
        (268, 80877102, Opening.CANCEL_REQUEST),
        (9, 3 << 16, Opening.STARTUP),
        (10_000, 3 << 16 | 2, Opening.STARTUP),
    ],
)
def test_a_first_message_is_known_by_its_code(length: int, code: int, kind: Opening) -> None:
    assert read_header(struct.pack("!II", length, code)) == (kind, length)


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HT",
        struct.pack("!II", 9, 80877103),
        struct.pack("!II", 269, 80877102),
        struct.pack("!II", 8, 3 << 16),
        struct.pack("!II", 10_001, 3 << 16),
        struct.pack("!II", 100, 2 << 16),
        struct.pack("!II", 0xFFFFFFFF, 3 << 16),
        bytes(8),
    ],
)
def test_anything_else_is_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_header(header)


@pytest.mark.parametrize(
    ("kind", "encrypted", "loopback", "passes"),
    [
        (Opening.STARTUP, True, True, True),
        (Opening.STARTUP, True, False, True),
        (Opening.STARTUP, False, True, True),
        (Opening.STARTUP, False, False, False),
        (Opening.CANCEL_REQUEST, False, False, True),
        (Opening.CANCEL_REQUEST, True, False, True),
    ],
)
def test_nothing_secret_comes_in_the_clear_from_elsewhere(
    kind: Opening, encrypted: bool, loopback: bool, passes: bool
) -> None:
    assert may_pass(kind, encrypted=encrypted, loopback=loopback) is passes


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("192.0.2.2", False),
        ("::ffff:192.0.2.2", False),
        ("fe80::1%eth0", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_an_error_is_a_message_of_the_protocol() -> None:
    message = error_response("28000", "no")
    assert message[:1] == b"E"
    assert struct.unpack("!I", message[1:5])[0] == len(message) - 1
    assert message[5:] == b"SFATAL\0VFATAL\0C28000\0Mno\0\0"


SASL = b"R" + struct.pack("!II", 23, 10) + b"SCRAM-SHA-256\0\0"
OK = b"R" + struct.pack("!II", 8, 0)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_a_login_is_seen_however_the_bytes_are_cut(cuts: list[int]) -> None:
    watch = LoginWatch()
    rest = SASL + OK + b"Z\0\0\0\5I"
    for cut in cuts:
        watch.feed(rest[:cut])
        rest = rest[cut:]
    watch.feed(rest)
    assert watch.done


def test_a_refused_login_is_no_login() -> None:
    watch = LoginWatch()
    watch.feed(SASL + error_response("28P01", "password authentication failed"))
    assert not watch.done


def test_an_order_survives_the_journey() -> None:
    order = FrontOrder(
        host="::", port=1, server_port=2, certificate="c", key="k", record="r", lock="l", log="o", gate=PATIENT
    )
    assert FrontOrder.load(order.dump()) == order


async def stand(gate: Gate, address: str, entered: asyncio.Event) -> None:
    try:
        await gate.enter(address)
        entered.set()
        await asyncio.Event().wait()
    finally:
        gate.leave()


async def guests(gate: Gate, *addresses: str) -> list[asyncio.Task[None]]:
    """One after the other, each inside before the next comes."""
    tasks = []
    for address in addresses:
        entered = asyncio.Event()
        tasks.append(asyncio.create_task(stand(gate, address, entered)))
        await entered.wait()
    return tasks


async def others_had_their_turn() -> None:
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon(turn.set)
    await turn.wait()


async def part(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_oldest_of_an_address_makes_way() -> None:
    async def story() -> None:
        first, other, second, third = await guests(Gate(HASTY), "a", "b", "a", "a")
        assert first.cancelling()
        assert not any(task.cancelling() for task in (other, second, third))
        await part(first, other, second, third)

    asyncio.run(story())


def test_the_oldest_of_all_makes_way_when_everything_is_taken() -> None:
    async def story() -> None:
        tasks = await guests(Gate(HASTY), "a", "b", "c", "d")
        assert [task.cancelling() for task in tasks] == [1, 0, 0, 0]
        await part(*tasks)

    asyncio.run(story())


def test_nobody_makes_way_before_a_fair_time() -> None:
    async def story() -> None:
        gate = Gate(PATIENT)
        inside = await guests(gate, "a", "a")
        entered = asyncio.Event()
        waiting = asyncio.create_task(stand(gate, "a", entered))
        await others_had_their_turn()
        assert not entered.is_set()
        await part(inside[0])
        await entered.wait()
        assert not inside[1].cancelling()
        await part(waiting, inside[1])

    asyncio.run(story())


def test_those_who_wait_are_counted_too() -> None:
    async def story() -> None:
        gate = Gate(PATIENT)
        inside = await guests(gate, "a", "a")
        waiting = asyncio.create_task(stand(gate, "a", asyncio.Event()))
        await others_had_their_turn()
        with pytest.raises(CrowdedError):
            await gate.enter("a")
        await part(waiting, *inside)

    asyncio.run(story())
