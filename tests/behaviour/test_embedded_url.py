"""`connect("embedded://")`: a broker in the process, for as long as somebody is connected to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import leveret
from leveret import ConnectionLost, InvalidURL, NoServer, Rabbit, Unimplemented
from leveret.broker import shared
from leveret.broker.shared import share
from leveret.transport.address import Address
from leveret.transport.opening import open_connection
from tests.behaviour.services import Echo

NAMES = [
    "embedded://a/b",
    "embedded://user@host",
    "embedded://a:5672",
    "embedded://a b",
    "embedded://?x=1",
]


async def echoes(client: Rabbit) -> bool:
    """Whether a call from there is answered; not, where nobody serves."""
    try:
        return bool(await client.call("echo.echo", text="here") == "here")
    except Unimplemented:
        return False


async def test_connections_of_one_loop_share_a_broker() -> None:
    async with (
        leveret.connect("embedded://") as host,
        host.serving(Echo()),
        leveret.connect("embedded://") as client,
    ):
        assert await echoes(client)


async def test_each_name_is_a_broker_of_its_own() -> None:
    async with (
        leveret.connect("embedded://one") as host,
        host.serving(Echo()),
        leveret.connect("embedded://one") as same,
        leveret.connect("embedded://two") as other,
        leveret.connect("embedded://") as nameless,
    ):
        found = [await echoes(client) for client in (same, other, nameless)]
    assert found == [True, False, False]


async def test_it_ends_with_the_last_connection_and_forgets_all() -> None:
    async with leveret.connect("embedded://") as first:
        async with leveret.connect("embedded://") as second, second.serving(Echo()):
            pass
        broker = share()
        await broker.leave()
        # The queue is still there: the first connection keeps the broker.
        with pytest.raises(NoServer):
            await first.call("echo.echo", text="here")
    address = Address(hosts=(("late", 0),), dial=broker.connect)
    with pytest.raises(ConnectionLost, match="the broker embedded:// has ended"):
        await open_connection(address, name="late", max_message_size=1000)
    async with leveret.connect("embedded://") as later:
        with pytest.raises(Unimplemented):
            await later.call("echo.echo", text="here")


async def test_closing_twice_leaves_the_others_their_broker() -> None:
    async with leveret.connect("embedded://") as host, host.serving(Echo()):
        twice = await leveret.connect("embedded://")
        await twice.close()
        await twice.close()
        async with leveret.connect("embedded://") as client:
            assert await echoes(client)


async def test_connections_that_begin_at_the_same_time_share_a_broker() -> None:
    rabbits = await asyncio.gather(*(leveret.connect("embedded://") for _ in range(10)))
    async with rabbits[0].serving(Echo()):
        assert all(await asyncio.gather(*map(echoes, rabbits)))
    await asyncio.gather(*(rabbit.close() for rabbit in rabbits))


async def test_a_connection_that_is_given_up_while_it_begins_leaves_no_broker() -> None:
    begun = asyncio.ensure_future(leveret.connect("embedded://"))
    await asyncio.sleep(0)
    begun.cancel()
    await asyncio.wait([begun])
    assert begun.cancelled()
    assert not shared._RUNNING.get(asyncio.get_running_loop())


async def test_it_needs_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_server", None)
    monkeypatch.setattr(loop, "create_connection", None)
    async with leveret.connect("embedded://") as host, host.serving(Echo()):
        assert await echoes(host)


async def test_messages_larger_than_a_pipe_holds_go_both_ways() -> None:
    text = "x" * 3_000_000
    async with (
        leveret.connect("embedded://") as host,
        host.serving(Echo()),
        leveret.connect("embedded://") as client,
    ):
        calls = [client.call("echo.echo", text=text) for _ in range(5)]
        assert all(answer == text for answer in await asyncio.gather(*calls))


async def test_each_event_loop_has_its_own() -> None:
    async def in_another_loop() -> bool:
        async with leveret.connect("embedded://") as client:
            return await echoes(client)

    async with leveret.connect("embedded://") as host, host.serving(Echo()):
        assert not await asyncio.to_thread(asyncio.run, in_another_loop())


async def test_leveret_url_may_say_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_URL", "embedded://")
    async with leveret.connect() as host, host.serving(Echo()), leveret.connect() as client:
        assert await echoes(client)


@pytest.mark.parametrize("url", NAMES)
def test_what_is_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(InvalidURL, match="after embedded:// comes nothing, or a name"):
        leveret.connect(url)


def test_import_leveret_does_not_import_the_broker() -> None:
    program = (
        "import sys, leveret; print([m for m in sys.modules if m.startswith('leveret.broker')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
