"""A connection in memory does what one over TCP does."""

from __future__ import annotations

import asyncio

import pytest

from leveret.broker.pipe import WIRE, PipeTransport, join


class End(asyncio.Protocol):
    """One end, and what happened to it."""

    transport: PipeTransport

    def __init__(self) -> None:
        self.received = b""
        self.happened: list[str] = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PipeTransport)
        self.transport = transport
        self.happened.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.happened.append(f"received {len(data)}")

    def eof_received(self) -> None:
        self.happened.append("eof")

    def pause_writing(self) -> None:
        self.happened.append("paused")

    def resume_writing(self) -> None:
        self.happened.append("resumed")

    def connection_lost(self, exc: Exception | None) -> None:
        self.happened.append("lost")
        self.lost.set_result(exc)


def joined() -> tuple[End, End]:
    ends = End(), End()
    join(*ends, name="pipe")
    return ends


async def passes(count: int = 4) -> None:
    """Let the event loop go round a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_both_ends_are_connected_before_anything_is_said() -> None:
    near, far = joined()
    assert near.happened == far.happened == ["made"]
    assert near.transport.get_extra_info("peername") == "pipe"
    assert near.transport.get_extra_info("socket") is None
    assert near.transport.get_protocol() is near


async def test_what_is_written_arrives_in_a_later_pass_and_in_one_piece() -> None:
    near, far = joined()
    near.transport.write(b"a")
    near.transport.writelines([b"b", bytearray(b"c"), memoryview(b"d")])
    near.transport.write(b"")
    assert far.received == b""
    await passes()
    assert (far.received, far.happened[1:]) == (b"abcd", ["received 4"])


async def test_bytes_are_handed_over_without_a_copy() -> None:
    near, far = joined()
    body = bytes(100_000)
    got: list[bytes] = []
    far.data_received = got.append  # type: ignore[assignment, method-assign]
    near.transport.write(body)
    await passes()
    assert got[0] is body


async def test_both_directions_are_independent() -> None:
    near, far = joined()
    far.transport.pause_reading()
    near.transport.write(b"there")
    far.transport.write(b"back")
    await passes()
    assert (near.received, far.received) == (b"back", b"")


async def test_a_reader_that_pauses_gets_all_when_it_resumes() -> None:
    near, far = joined()
    far.transport.pause_reading()
    assert not far.transport.is_reading()
    near.transport.write(b"one")
    await passes()
    near.transport.write(b"two")
    far.transport.resume_reading()
    await passes()
    assert far.received == b"onetwo"


async def test_a_writer_is_paused_beyond_wire_and_limit_and_resumed_when_it_was_read() -> None:
    near, far = joined()
    near.transport.set_write_buffer_limits(high=1000)
    assert near.transport.get_write_buffer_limits() == (250, 1000)
    far.transport.pause_reading()
    near.transport.write(bytes(WIRE))
    assert near.transport.get_write_buffer_size() == 0
    near.transport.write(bytes(1000))
    assert near.happened == ["made"]
    near.transport.write(b"x")
    assert (near.happened, near.transport.get_write_buffer_size()) == (["made", "paused"], 1001)
    far.transport.resume_reading()
    await passes()
    assert near.happened == ["made", "paused", "resumed"]
    assert near.transport.get_write_buffer_size() == 0
    assert len(far.received) == WIRE + 1001


@pytest.mark.parametrize(
    ("high", "low", "limits"),
    [(None, None, (16_384, 65_536)), (None, 10, (10, 40)), (0, None, (0, 0)), (9, 3, (3, 9))],
)
async def test_write_buffer_limits_are_those_of_asyncio(
    high: int | None, low: int | None, limits: tuple[int, int]
) -> None:
    near, _ = joined()
    near.transport.set_write_buffer_limits(high=high, low=low)
    assert near.transport.get_write_buffer_limits() == limits


async def test_limits_that_are_the_wrong_way_round_are_refused() -> None:
    near, _ = joined()
    with pytest.raises(ValueError, match="must be >= low"):
        near.transport.set_write_buffer_limits(high=1, low=2)


async def test_a_close_comes_after_what_was_written() -> None:
    near, far = joined()
    near.transport.write(b"last")
    near.transport.close()
    near.transport.write(b"too late")
    near.transport.close()
    assert near.transport.is_closing()
    await passes()
    assert far.received == b"last"
    assert far.happened == ["made", "received 4", "eof", "lost"]
    assert near.happened == ["made", "lost"]


async def test_what_comes_to_a_closed_end_is_dropped() -> None:
    near, far = joined()
    far.transport.write(b"unheard")
    near.transport.close()
    far.transport.write(b"unheard")
    await passes()
    assert near.happened == ["made", "lost"]
    assert far.transport.get_write_buffer_size() == 0


async def test_a_close_waits_until_all_is_on_the_wire() -> None:
    near, far = joined()
    far.transport.pause_reading()
    near.transport.write(bytes(WIRE + 1))
    near.transport.close()
    await passes()
    assert near.happened[-1] != "lost"
    far.transport.resume_reading()
    await passes()
    assert (near.happened[-1], far.happened[-1]) == ("lost", "lost")
    assert len(far.received) == WIRE + 1


async def test_a_close_does_not_wait_for_a_reader_that_is_closed_itself() -> None:
    near, far = joined()
    far.transport.pause_reading()
    near.transport.write(bytes(WIRE + 1))
    near.transport.close()
    far.transport.close()
    await passes()
    assert (near.happened[-1], far.happened[-1]) == ("lost", "lost")


async def test_an_abort_drops_what_is_not_on_the_wire() -> None:
    near, far = joined()
    far.transport.pause_reading()
    near.transport.write(bytes(WIRE + 1))
    near.transport.abort()
    near.transport.abort()
    await passes()
    assert near.happened.count("lost") == 1
    assert far.happened == ["made"], "it does not read, so it does not see the end"
    far.transport.resume_reading()
    await passes()
    assert far.happened == ["made", f"received {WIRE}", "eof", "lost"]


async def test_a_protocol_may_keep_its_end_open_after_the_end_of_the_stream() -> None:
    near, far = joined()
    far.eof_received = lambda: True  # type: ignore[assignment, method-assign]
    near.transport.close()
    await passes()
    assert far.happened == ["made"]
    assert not far.transport.is_closing()
    far.transport.close()
    await passes()
    assert far.happened == ["made", "lost"]


async def test_a_protocol_that_fails_loses_its_connection_and_is_reported() -> None:
    near, far = joined()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(context["exception"])
    )
    error = RuntimeError("broken")

    def fail(data: bytes) -> None:
        raise error

    far.data_received = fail  # type: ignore[method-assign]
    near.transport.write(b"x")
    await passes()
    assert reported == [error]
    assert (near.happened[-1], far.happened[-1]) == ("lost", "lost")


async def test_an_end_may_get_another_protocol() -> None:
    near, far = joined()
    other = End()
    far.transport.set_protocol(other)
    near.transport.write(b"x")
    await passes()
    assert (far.received, other.received) == (b"", b"x")
