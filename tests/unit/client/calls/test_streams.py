"""All streams of a client: whose messages count, and what is said to which server when."""

from __future__ import annotations

from math import inf

import pytest
from msgspec import structs

from leveret.client.calls import streams
from leveret.client.calls.life import Act, Event, Pending, State
from leveret.client.calls.stream import Stream
from leveret.client.calls.streams import Streams
from leveret.errors import LeveretError
from leveret.streaming import Credit
from leveret.wire.stream_messages import Closing, End, Item, Sign
from leveret.wire.timing import REPLY_GRACE, SERVERS_RETURN_WITHIN
from tests.unit.client.calls.making import REPLY, HandLoop, a_call


class There:
    """The streams of a client, and what they did."""

    def __init__(self) -> None:
        self.loop = HandLoop()
        self.events: list[Event] = []
        self.causes: list[str] = []
        self.finished: list[Pending] = []
        self.replied: list[Closing] = []
        self.extended: list[float] = []
        self.said: list[tuple[str, Credit]] = []
        self.cancelled: list[str] = []
        self.streams = Streams(
            self.loop,
            fire=self._fire,
            finished=self.finished.append,
            replied=lambda _call, closing: self.replied.append(closing),
            extend=lambda _call, when: self.extended.append(when),
            credit=lambda server, _call, credit: self.said.append((server, credit)),
            cancel=lambda server, _call: self.cancelled.append(server),
        )

    def _fire(self, call: Pending, event: Event, cause: LeveretError | None = None, /) -> Act:
        self.events.append(event)
        self.causes.append(str(cause))
        call.state = State.STREAMING if event is Event.BEGINS else State.ENDED
        return Act.NOTHING

    def call(self, *, until: float = inf) -> Pending:
        call = a_call()
        call.sink = Stream(self.loop, items=64, size=1024, until=until)
        return call


def item(n: int, server: str = "feed.s1") -> Item:
    return Item(server, n, b"1", 1, None)


def test_the_first_message_begins_a_stream_and_moves_its_deadline() -> None:
    there = There()
    call = there.call(until=2000.0)
    there.streams.received(call, item(1))
    assert (there.events, there.extended) == ([Event.BEGINS], [2000.0 + REPLY_GRACE])
    assert (len(there.streams), there.streams.server_of(call)) == (1, "feed.s1")
    assert there.streams.server_of(call) == ""


def test_the_end_is_acknowledged_and_finishes_the_call() -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    there.streams.received(call, End(server="feed.s1", n=1, moved=False))
    assert there.said == [("feed.s1", Credit(got=2, upto=64, size=1024))]
    assert (there.finished, len(there.streams)) == ([call], 0)


def test_another_server_is_told_to_stop() -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    there.streams.received(call, item(2, "feed.s2"))
    assert there.cancelled == ["feed.s2"]


@pytest.mark.parametrize(("code", "ends"), [("CANCELLED", False), ("ABORTED", True)])
def test_an_error_of_another_copy_of_the_request_ends_no_stream(code: str, ends: bool) -> None:
    """A server that does not know the stream any more does not name itself, either."""
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    body = f'{{"code":"{code}","message":"m","executed":"maybe"}}'.encode()
    error = structs.replace(REPLY, is_error=True, body=body)
    there.streams.received(call, Closing(server="", n=0, reply=error))
    assert there.finished == [call] * ends


def test_a_reply_before_any_message_of_the_stream_ends_the_call() -> None:
    there = There()
    closing = Closing(server="", n=0, reply=REPLY)
    there.streams.received(there.call(), closing)
    there.streams.received(there.call(), item(1, ""))
    assert (there.replied, there.events) == ([closing], [])


def test_an_error_that_tells_of_items_which_were_lost_has_them_sent_again() -> None:
    there = There()
    there.streams.received(there.call(), Closing(server="feed.s1", n=2, reply=REPLY))
    assert there.said == [("feed.s1", Credit(got=0, upto=64, size=1024, again=True))]


async def test_it_repeats_itself_while_nothing_moves_and_gives_up_a_silent_server() -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    await there.loop.advance(29)
    assert 3 <= len(there.said) <= 6
    assert not there.said[0][1].again
    there.streams.received(call, Sign(server="feed.s1", n=1))
    await there.loop.advance(29)
    assert there.events == [Event.BEGINS]
    await there.loop.advance(3)
    assert there.events == [Event.BEGINS, Event.SERVER_GONE]
    assert "nothing came from its server feed.s1" in there.causes[1]
    await there.loop.advance(3)
    assert there.loop.timers == 0


async def test_a_server_that_cannot_be_reached_is_given_up_after_a_moment() -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    assert there.streams.unreachable(call.id)
    assert there.streams.unreachable(call.id)
    await there.loop.advance(0.3)
    assert there.said == [("feed.s1", Credit(got=1, upto=64, size=1024, again=True))]
    there.streams.received(call, item(2))  # it is back
    await there.loop.advance(streams.AWAY_FOR)
    assert there.streams.unreachable(call.id)
    await there.loop.advance(streams.AWAY_FOR)
    there.streams.unreachable(call.id)
    assert there.events == [Event.BEGINS, Event.SERVER_GONE]
    assert not there.streams.unreachable(call.id)


async def test_after_a_reconnect_servers_have_longer_and_are_asked_for_what_was_lost() -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    there.streams.connection_changed()
    there.streams.ask_again(call)
    assert there.said == [("feed.s1", Credit(got=1, upto=64, size=1024, again=True))]
    there.streams.unreachable(call.id)
    await there.loop.advance(SERVERS_RETURN_WITHIN - 1)
    there.streams.unreachable(call.id)
    assert there.events == [Event.BEGINS]


@pytest.mark.parametrize("closes", [True, False])
async def test_streams_that_have_ended_are_forgotten(closes: bool) -> None:
    there = There()
    call = there.call()
    there.streams.received(call, item(1))
    call.state = State.ENDED
    if closes:
        there.streams.close()
    else:
        await there.loop.advance(1.1)
    assert (len(there.streams), there.loop.timers, there.said) == (0, 0, [])
