"""What is open on a connection: it is begun once, waited for by whoever wants, and left whole."""

from __future__ import annotations

import asyncio

import pytest

from leveret import ConnectionEvent, ConnectionLost, Reconnect, State
from leveret.client.calls.client import Client
from leveret.rabbit.opened import Opened
from leveret.rabbit.options import MAX_IN_FLIGHT, MAX_MESSAGE_SIZE, ConnectionOptions
from tests.behaviour.patience import until


def opened(*, lazy: bool, events: list[ConnectionEvent], name: str = "") -> Opened:
    options = ConnectionOptions(
        name="",
        max_in_flight=MAX_IN_FLIGHT,
        max_message_size=MAX_MESSAGE_SIZE,
        reconnect=Reconnect(first=0.01, most=0.02),
        wait_for_broker=0.0,
        on_connection=events.append,
        lazy=lazy,
    )
    return Opened(name, options)


async def test_it_begins_by_itself_and_is_waited_for_as_often_as_one_likes() -> None:
    events: list[ConnectionEvent] = []
    it = opened(lazy=False, events=events)
    assert str(it.state) == "connecting"
    await asyncio.gather(it.ready(), it.ready())
    await it.ready()
    assert it.state is State.CONNECTED
    assert it.client.takes_from is it.loop
    await it.close()
    await it.close()
    assert [event.state for event in events] == ["connected", "closed"]


async def test_lazily_a_broker_that_does_not_react_is_left_for_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, failures = Client.start, [ConnectionLost("an answer did not come")]

    async def hesitate(client: Client) -> None:
        if failures:
            raise failures.pop()
        await start(client)

    monkeypatch.setattr(Client, "start", hesitate)
    events: list[ConnectionEvent] = []
    it = opened(lazy=True, events=events)
    await until(lambda: it.client.is_attached, "the client is there on the second connection")
    assert [event.state for event in events] == ["connected", "reconnecting", "connected"]
    await it.close()


async def test_what_serves_on_it_is_closed_before_it() -> None:
    it = opened(lazy=False, events=[])
    await it.ready()
    states: list[State] = []

    class Server:
        async def close(self) -> None:
            states.append(it.state)

        def cancel_running(self) -> None:
            raise AssertionError("nobody is in a hurry")

    server = Server()
    it.servers.add(server)
    await it.close()
    assert states == [State.CONNECTED]
