"""`Writer` on a transport of the test's own: what leaves in one write, and who waits how long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from leveret.amqp.frames import FrameParts
from leveret.transport.writer import BATCH_BYTES, BATCH_FRAMES, WRITE_BUFFER, Writer


class Socket(asyncio.WriteTransport):
    """Notes each write; `full` is how many bytes it takes before it pauses the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.lists: list[list[bytes]] = []
        self.writer: Writer | None = None
        self.room = 1_000_000
        self.high: int | None = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.room -= len(data)
        if self.room < 0 and self.writer is not None:
            self.writer.pause()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.lists.append([bytes(data) for data in list_of_data])

    def drain(self, room: int) -> None:
        """The peer reads again."""
        assert self.writer is not None
        self.room = room
        self.writer.resume()


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
async def writer(told: list[bool]) -> Writer:
    return Writer(asyncio.get_running_loop(), told.append)


@pytest.fixture
async def socket(writer: Writer) -> Socket:
    socket = Socket()
    socket.writer = writer
    writer.attach(cast(asyncio.WriteTransport, socket))
    return socket


async def passes(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- batches ---------------------------------------------------------------------------------------


async def test_a_lone_frame_leaves_at_the_end_of_the_pass(writer: Writer, socket: Socket) -> None:
    writer.send(b"one")
    assert socket.writes == []
    await passes(1)
    assert (socket.writes, writer.writes) == ([b"one"], 1)


async def test_frames_of_two_passes_share_a_write(writer: Writer, socket: Socket) -> None:
    writer.send(b"a")
    writer.send(b"b")
    await passes(1)
    writer.send(b"c")
    await passes(2)
    assert socket.writes == [b"abc"]


@pytest.mark.parametrize(
    "frames", [[bytes(BATCH_BYTES)], [b"x"] * BATCH_FRAMES], ids=["many bytes", "many frames"]
)
async def test_a_full_batch_leaves_at_once(
    writer: Writer, socket: Socket, frames: list[bytes]
) -> None:
    for frame in frames:
        writer.send(frame)
    assert socket.writes == [b"".join(frames)]
    await passes(3)
    assert len(socket.writes) == 1


async def test_large_frames_are_not_joined(writer: Writer, socket: Socket) -> None:
    writer.send(b"ack")
    writer.send(bytes(BATCH_BYTES))
    assert (socket.writes, writer.writes) == ([], 1)
    assert socket.lists == [[b"ack", bytes(BATCH_BYTES)]]
    writer.send(b"next")
    await passes(1)
    assert socket.writes == [b"next"]


async def test_frames_in_parts_are_not_joined_and_leave_at_once(
    writer: Writer, socket: Socket
) -> None:
    writer.send(b"before")
    view = memoryview(bytes(BATCH_BYTES))
    writer.send_parts(FrameParts([b"head", view]))
    assert (socket.writes, writer.writes) == ([], 1)
    assert socket.lists == [[b"before", b"head", view]]
    writer.send(b"next")
    await passes(1)
    assert socket.writes == [b"next"]


async def test_deferred_callbacks_send_last_in_the_same_write(
    writer: Writer, socket: Socket
) -> None:
    writer.defer(lambda: writer.send(b"ack"))
    writer.send(b"reply ")
    await passes(3)
    assert socket.writes == [b"reply ack"]


async def test_collect_has_the_deferred_callbacks_send_first(
    writer: Writer, socket: Socket
) -> None:
    writer.defer(lambda: writer.send(b"ack "))
    writer.collect()
    writer.send(b"close")
    await passes(3)
    assert socket.writes == [b"ack close"]


async def test_a_deferred_callback_alone_causes_a_write(writer: Writer, socket: Socket) -> None:
    writer.defer(lambda: writer.send(b"ack"))
    await passes(1)
    assert socket.writes == [b"ack"]


async def test_without_a_socket_frames_are_dropped(writer: Writer, socket: Socket) -> None:
    writer.detach()
    writer.send(b"too late")
    await passes(1)
    writer.send(bytes(BATCH_BYTES))
    assert (socket.writes, writer.writes, writer._out) == ([], 0, [])


# -- back-pressure ---------------------------------------------------------------------------------


async def test_the_socket_is_told_the_size_of_the_buffer(socket: Socket) -> None:
    assert socket.high == WRITE_BUFFER <= 1024 * 1024


async def test_pausing_and_resuming_are_told_once(writer: Writer, told: list[bool]) -> None:
    writer.pause()
    writer.pause()
    writer.resume()
    writer.resume()
    assert told == [True, False]


async def test_a_writer_that_is_not_paused_holds_nobody(writer: Writer) -> None:
    with pytest.raises(StopIteration):  # it returns without a pass of the event loop
        writer.wait_until_writable().send(None)


async def test_senders_go_in_order_and_only_as_long_as_there_is_room(
    writer: Writer, socket: Socket
) -> None:
    writer.pause()
    order: list[int] = []

    async def sender(number: int) -> None:
        await writer.wait_until_writable()
        order.append(number)
        writer.send(bytes(BATCH_BYTES))

    senders = [asyncio.create_task(sender(number)) for number in range(100)]
    await passes(2)
    assert order == []
    for drains in range(1, 34):
        socket.drain(2 * BATCH_BYTES)  # the third message fills it
        await passes(20)
        assert order == list(range(3 * drains))
    socket.drain(2 * BATCH_BYTES)
    await asyncio.gather(*senders)
    assert order == list(range(100))


async def test_a_sender_that_comes_while_others_wait_goes_after_them(
    writer: Writer, socket: Socket
) -> None:
    writer.pause()
    order: list[str] = []

    async def sender(name: str) -> None:
        await writer.wait_until_writable()
        order.append(name)

    first = [asyncio.create_task(sender("first")) for _ in range(40)]
    await passes(1)
    writer.resume()
    late = asyncio.create_task(sender("late"))
    await asyncio.gather(*first, late)
    assert order == ["first"] * 40 + ["late"]


async def test_a_cancelled_sender_leaves_the_queue(writer: Writer) -> None:
    writer.pause()
    senders = [asyncio.create_task(writer.wait_until_writable()) for _ in range(3)]
    await passes(1)
    senders[0].cancel()
    await passes(1)
    assert len(writer._waiting) == 2
    writer.resume()
    senders[1].cancel()  # after its turn has come
    await asyncio.wait(senders, timeout=10)
    assert [sender.cancelled() for sender in senders] == [True, True, False]
    assert not writer._waiting


async def test_many_pauses_admit_each_sender_once(writer: Writer) -> None:
    writer.pause()
    senders = [asyncio.create_task(writer.wait_until_writable()) for _ in range(200)]
    await passes(1)
    for _ in range(10):
        writer.resume()
        writer.pause()
        await passes(1)
    writer.resume()
    await asyncio.wait_for(asyncio.gather(*senders), 10)
    assert not writer._waiting


async def test_the_end_lets_everyone_go_and_holds_nobody_any_more(
    writer: Writer, told: list[bool]
) -> None:
    writer.pause()
    senders = [asyncio.create_task(writer.wait_until_writable()) for _ in range(100)]
    await passes(1)
    writer.end()
    await asyncio.wait_for(asyncio.gather(*senders), 10)
    writer.pause()
    await asyncio.wait_for(writer.wait_until_writable(), 10)
    assert told == [True, False]


async def test_the_end_also_frees_those_whose_turn_had_not_come(writer: Writer) -> None:
    writer.pause()
    senders = [asyncio.create_task(writer.wait_until_writable()) for _ in range(100)]
    await passes(1)
    writer.resume()
    writer.end()
    await asyncio.wait_for(asyncio.gather(*senders), 10)


async def test_a_sender_that_waits_again_behind_another_goes_on_though_nothing_pauses_any_more(
    writer: Writer, socket: Socket
) -> None:
    writer.pause()
    order: list[str] = []

    async def sender(name: str) -> None:
        for _ in range(2):
            await writer.wait_until_writable()
            order.append(name)

    senders = [asyncio.create_task(sender(name)) for name in ("one", "two")]
    await passes(1)
    writer.resume()
    async with asyncio.timeout(10):
        await asyncio.gather(*senders)
    assert order == ["one", "two", "one", "two"]
