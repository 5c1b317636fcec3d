"""What stands for a client before there is one: it shows where the client is, and sends nothing."""

from __future__ import annotations

import asyncio

import pytest

from leveret import ConnectionLost
from leveret.client.unconnected import Unconnected
from leveret.wire.dialect import NO_CHANNEL
from leveret.wire.message import Reply
from leveret.wire.native.dialect import NativeClient
from tests.unit.client.calls.making import a_call, a_request


def nobody() -> Unconnected:
    raise RuntimeError("not connected")


def test_a_request_can_be_made_on_it_without_a_loop() -> None:
    sender = Unconnected(nobody, max_message_size=10)
    assert (sender.held, sender.takes_from, sender.channel) == (True, None, NO_CHANNEL)
    route = sender.route("gate.once", NativeClient())
    assert (route.key, route.queue, route.control_key) == ("gate.once", "leveret.gate.once", "gate")
    assert sender.route("q", NativeClient(), label="queue q").key == "queue q"
    a_request(route).renew(NO_CHANNEL)


def test_it_shows_where_the_client_is() -> None:
    other = Unconnected(nobody, max_message_size=10)
    assert Unconnected(lambda: other, max_message_size=10).here() is other
    with pytest.raises(RuntimeError, match="not connected"):
        other.here()


async def test_it_sends_nothing_and_says_so() -> None:
    sender, request = Unconnected(nobody, max_message_size=10), a_request()
    sink: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    with pytest.raises(ConnectionLost) as refused:
        sender.send(request, b"", 1.0, sink)
    assert (refused.value.executed, refused.value.attempts) == ("no", 0)
    with pytest.raises(ConnectionLost):
        await sender.ready(request, 1.0)
    sender.abandon(a_call())


def test_calls_that_meet_a_middleware_before_have_ids_of_their_own() -> None:
    sender = Unconnected(nobody, max_message_size=10)
    assert sender.new_id() != sender.new_id()
