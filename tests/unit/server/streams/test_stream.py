"""Tests of the server's end of a stream, without a broker: what it sends, and when it waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from leveret.contract import Item
from leveret.errors import InvalidArgument, InvalidResult, MaybeExecuted
from leveret.server.calls.life import ServerCall, Stop
from leveret.server.streams.registry import Streams
from leveret.server.streams.stream import ServerStream
from leveret.streaming import Credit, Due
from leveret.wire.message import StreamRequest, UploadMessage
from tests.unit.server.calls.making import Answers, call, key
from tests.unit.wire.messages import delivered


class Scene:
    """A stream of results and an upload, on a clock of its own."""

    def __init__(self, *, items: int = 2, results: bool = True, upload: bool = True) -> None:
        self.now = 100.0
        self.answers = Answers()
        self.call = call("c1", answers=self.answers)
        self.firsts = 0
        self.stream = ServerStream(
            self.call,
            StreamRequest(items=items, size=1000, uploads=upload),
            sender="desk.a1",
            encode=self._encode if results else None,
            decode=self._decode if upload else None,
            now=self.now,
        )
        self.given_up: list[ServerCall] = []

    def _encode(self, _call: ServerCall, item: Any) -> bytes:
        if item == "unfit":
            raise InvalidResult("unfit")
        return str(item).encode()

    def _decode(self, message: UploadMessage) -> Any:
        if message.body == b"unfit":
            raise InvalidArgument("unfit")
        return message.body

    def begin(self) -> None:
        self.stream.begin(self.now, self._first)

    def _first(self) -> None:
        self.firsts += 1

    async def send(self, item: Any) -> None:
        more = self.stream.send(item)
        if more is not None:
            await more

    async def take(self) -> Any:
        return await self.stream.next_uploaded(lambda: self.now)

    def upload(
        self, number: int, body: bytes = b"x", *, is_end: bool = False, is_sign: bool = False
    ) -> None:
        message = UploadMessage(
            key=key("c1"),
            number=number,
            is_end=is_end,
            is_sign=is_sign,
            user="",
            content_type=None,
            body=body,
            body_size=len(body),
        )
        self.stream.uploaded(message, self.now)

    def credit(self, got: int, upto: int = 2, *, again: bool = False) -> None:
        self.stream.credited(Credit(got=got, upto=upto, size=1000, again=again), self.now)

    @property
    def sent(self) -> list[tuple[str | None, Any]]:
        """The types and the numbers of what was sent."""
        found: list[tuple[str | None, Any]] = []
        for _, frames in self.answers.sent:
            properties = delivered(frames).properties
            headers = properties.headers or {}
            number = headers.get("n", headers.get("got"))
            found.append((properties.type, (number, True) if "again" in headers else number))
        self.answers.sent.clear()
        return found


async def test_items_wait_for_credit_and_what_is_lost_is_sent_again() -> None:
    scene = Scene(upload=False)
    scene.begin()
    await scene.send("a")
    assert scene.firsts == 1
    await scene.send(Item("b", cursor="at b"))
    third = asyncio.create_task(scene.send("c"))
    await asyncio.sleep(0)
    assert scene.sent == [("item", 1), ("item", 2)]
    assert not third.done()
    scene.credit(1, upto=3, again=True)
    await third
    assert scene.sent == [("item", 2), ("item", 3)]
    scene.credit(9)  # never sent: ignored
    scene.stream.finish(scene.stream.pack_end(None), scene.now)
    assert scene.sent == [("end", 3)]
    assert not scene.stream.is_done
    scene.answers = scene.call.source.answers = Answers(number=2)
    scene.stream.attached(scene.now)
    assert scene.sent == [("item", 2), ("item", 3), ("end", 3)]
    scene.credit(4)
    assert scene.stream.is_done
    assert scene.firsts == 1


async def test_what_cannot_be_sent_is_the_handlers_error() -> None:
    scene = Scene(upload=False)
    scene.begin()
    with pytest.raises(InvalidResult, match="unfit"):
        await scene.send("unfit")
    with pytest.raises(InvalidResult, match="item 1 cannot be sent: a cursor has at most"):
        await scene.send(Item("a", cursor="x" * 256))
    scene.stream.finish(scene.stream.pack_error(MaybeExecuted("so"), None), scene.now)
    assert scene.sent == [("error", 0)]


async def test_a_socket_that_takes_nothing_is_waited_for() -> None:
    scene = Scene(upload=False)
    scene.begin()
    scene.answers.paused = True
    await scene.send("a")
    assert not scene.answers.paused


async def test_a_call_that_is_stopped_sends_no_more() -> None:
    scene = Scene(items=1)
    scene.begin()
    await scene.send("a")
    waiting = asyncio.create_task(scene.send("b"))
    taking = asyncio.create_task(scene.take())
    await asyncio.sleep(0)
    scene.call.stop = Stop.CALLER
    scene.stream.stop()
    await asyncio.wait([waiting, taking])
    assert waiting.cancelled()
    assert taking.cancelled()


async def test_nothing_is_kept_for_a_caller_that_has_cancelled() -> None:
    scene = Scene()
    scene.begin()
    await scene.send("a")
    scene.call.stop = Stop.CALLER
    scene.stream.finish(scene.stream.pack_error(MaybeExecuted("so"), None), scene.now)
    assert (scene.stream.is_done, scene.stream.results.kept) == (True, 0)


async def test_an_upload_is_taken_in_order_and_its_caller_is_told() -> None:
    scene = Scene(results=False)
    scene.begin()
    assert scene.sent == [("credit", 0)]
    assert scene.firsts == 1
    taking = asyncio.create_task(scene.take())
    await asyncio.sleep(0)
    scene.upload(1, b"a")
    assert await taking == b"a"
    scene.upload(1, b"a")
    scene.upload(3, b"c")
    assert scene.sent == [("credit", (1, True))]
    scene.upload(1, is_sign=True)
    assert scene.sent == []
    for number in range(2, 200):
        scene.upload(number, b"b")
    for _ in range(2, 200):
        assert await scene.take() == b"b"
    assert ("credit", 199) in scene.sent
    scene.upload(199, b"", is_end=True)
    assert scene.sent == [("credit", 200)]
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await scene.take()
    scene.upload(199, b"", is_end=True)
    assert scene.sent == [("credit", 200)]
    scene.stream.finish(b"", scene.now)
    assert scene.stream.is_done
    scene.upload(200)
    assert scene.sent == []


async def test_an_upload_that_cannot_go_on_is_an_error_after_its_items() -> None:
    scene = Scene(results=False)
    scene.begin()
    scene.upload(1)
    scene.upload(2, b"unfit")
    assert await scene.take() == b"x"
    with pytest.raises(InvalidArgument, match="unfit"):
        await scene.take()
    scene.upload(3)
    scene.upload(3, b"", is_end=True)
    assert scene.sent == [("credit", 0), ("credit", 4)]  # its caller is done all the same
    with pytest.raises(InvalidArgument, match="unfit"):
        await scene.take()
    other = Scene(results=False)
    other.begin()
    other.upload(1)
    other.upload(0, b"", is_end=True)
    await other.take()
    with pytest.raises(InvalidArgument, match="ended before its last item"):
        await other.take()


async def test_what_the_broker_does_not_take_ends_the_stream_even_if_its_handler_goes_on() -> None:
    scene = Scene(upload=False)
    scene.begin()
    await scene.send("a")
    scene.stream.refused(9_000, 8_000)  # that was another one
    await scene.send("b" * 9_000)
    scene.stream.refused(9_000, 8_000)
    assert scene.stream.count == 1
    with pytest.raises(InvalidResult, match="item 2 takes more than the 8000 bytes"):
        await scene.send("c")
    scene.answers.sent.clear()
    scene.stream.finish(scene.stream.pack_end(None), scene.now)
    assert scene.sent == [("error", 1)]


async def test_each_side_of_a_silent_stream_is_told_that_it_goes_on() -> None:
    scene = Scene()
    scene.begin()
    assert scene.sent == [("credit", 0)]
    assert scene.stream.tick(scene.now + 0.5) is Due.NOTHING
    scene.now += 1
    assert scene.stream.tick(scene.now) is Due.SAY
    assert scene.sent == [("credit", 0), ("progress", 0)]
    await scene.send("a")
    scene.stream.listens_again(scene.now)
    assert scene.sent == [("item", 1), ("credit", (0, True))]
    scene.stream.finish(scene.stream.pack_end(None), scene.now)
    assert scene.sent == [("end", 1)]
    scene.now += 1
    assert scene.stream.tick(scene.now) is Due.SAY
    assert scene.sent == [("end", 1)]
    assert scene.stream.tick(scene.now + 30) is Due.GIVE_UP


async def test_a_registry_looks_after_its_streams_and_gives_up_who_is_gone() -> None:
    scene = Scene()
    given_up: list[ServerCall] = []
    loop = asyncio.get_running_loop()
    streams = Streams(loop, given_up.append, lambda: scene.now)
    streams.add(scene.stream)
    scene.begin()
    assert scene.call.name in streams
    assert not streams.credited(key("other"), Credit(got=0, upto=9, size=9))
    assert streams.credited(key("c1"), Credit(got=0, upto=9, size=9))
    message = UploadMessage(
        key=key("c1"),
        number=1,
        is_end=False,
        is_sign=False,
        user="",
        content_type=None,
        body=b"a",
        body_size=1,
    )
    scene.call.user = "ann"
    streams.uploaded(structs.replace(message, user="eve", body=b"e"))
    streams.uploaded(structs.replace(message, user="ann"))
    assert await scene.take() == b"a"
    await scene.send("a")
    assert scene.sent == [("credit", 0), ("item", 1)]
    streams.attached(scene.call.source)
    assert scene.sent == [("credit", (1, True)), ("item", 1)]
    streams.listens_again()
    assert scene.sent == [("credit", (1, True))]
    streams.returned(key("other"))
    streams.returned(key("c1"))
    assert given_up == [scene.call]
    assert len(streams) == 0
    streams.close()


async def test_a_registry_forgets_what_is_done_and_what_is_silent() -> None:
    scene, done = Scene(upload=False), Scene(results=False)
    given_up: list[ServerCall] = []
    streams = Streams(asyncio.get_running_loop(), given_up.append, lambda: scene.now)
    for one in (scene, done):
        one.call.name = str(id(one))
        streams.add(one.stream)
        one.begin()
    done.stream.finish(b"", scene.now)
    streams.look()
    assert len(streams) == 1
    scene.now += 30
    streams.look()
    assert (given_up, len(streams)) == ([scene.call], 0)
    streams.add(scene.stream)
    streams.close()
    assert len(streams) == 0


async def test_several_takers_of_an_upload_share_its_items_and_all_see_its_end() -> None:
    scene = Scene(results=False)
    scene.begin()
    takers = [asyncio.create_task(scene.take()) for _ in range(3)]
    await asyncio.sleep(0)
    scene.upload(1, b"a")
    scene.upload(2, b"b")
    scene.upload(2, is_end=True)
    outcomes = await asyncio.gather(*takers, return_exceptions=True)
    assert {outcome for outcome in outcomes if isinstance(outcome, bytes)} == {b"a", b"b"}
    assert [type(outcome) for outcome in outcomes].count(StopAsyncIteration) == 1


async def test_who_takes_of_an_upload_when_its_handler_has_ended_is_told_so() -> None:
    scene = Scene(results=False)
    scene.begin()
    left_behind = asyncio.create_task(scene.take())
    await asyncio.sleep(0)
    scene.stream.finish(scene.stream.pack_end(None), scene.now)
    with pytest.raises(RuntimeError, match="the upload is over, as its call of"):
        await left_behind
    with pytest.raises(RuntimeError, match="the upload is over"):
        await scene.take()
