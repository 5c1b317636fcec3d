"""`connect(lazy=True)`: remotes at import, calls that wait for the first connection."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

import leveret
from leveret import (
    ConnectionEvent,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    Rabbit,
    Reconnect,
    State,
    Unauthenticated,
    Unimplemented,
)
from leveret.testing import FaultProxy
from leveret.transport.url import parse_url
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until
from tests.behaviour.services import Echo

SOON = Reconnect(first=0.01, most=0.05)


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    """The way to the broker, which is cut at first."""
    async with FaultProxy(rabbitmq_url) as proxy:
        proxy.refuse()
        yield proxy


def with_wrong_password(url: str) -> str:
    host, port = parse_url(url).hosts[0]
    return f"amqp://guest:wrong@{host}:{port}/{url.rpartition('/')[2]}"


def test_remotes_made_at_import_work_in_each_loop_that_opens_the_connection(
    broker_url: str,
) -> None:
    rabbit = leveret.connect(broker_url, lazy=True)
    echo, plain = rabbit.remote(Echo), rabbit.plain("words")
    named = rabbit.with_options(timeout=20)
    assert (rabbit.state, rabbit.in_flight, rabbit.late_replies) == ("connecting", 0, 0)
    with pytest.raises(RuntimeError, match="not connected yet"):
        _ = rabbit.calls

    async def main() -> None:
        async with rabbit, rabbit.serving(Echo(), plain={"words": "echo.echo"}):
            assert await echo.echo("x") == "x"
            assert await plain.call("y") == "y"
            assert await named.call("echo.echo", text="z") == "z"
            assert await (await rabbit.discover("echo")).echo("d") == "d"
            assert rabbit.state == "connected"
        assert rabbit.state == "closed"
        with pytest.raises(ConnectionLost, match="the client was closed") as refused:
            await echo.echo("x")
        assert refused.value.executed == "no"

    async def only_calls() -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop|has ended"):
            await echo.echo("x")

    asyncio.run(main())
    asyncio.run(main())
    asyncio.run(only_calls())
    assert rabbit.state == "closed"


async def test_a_closed_connection_that_is_opened_again_takes_the_calls_of_old_remotes(
    rabbitmq_url: str,
) -> None:
    rabbit = leveret.connect(rabbitmq_url)
    with pytest.raises(RuntimeError, match=r"or leveret.connect\(lazy=True\)"):
        rabbit.remote(Echo)
    async with rabbit, rabbit.serving(Echo()):
        echo = rabbit.remote(Echo)
        assert await echo.echo("x") == "x"
        before = rabbit.calls
    async with rabbit, rabbit.serving(Echo()):
        assert await echo.echo("y") == "y"
        assert rabbit.calls is not before


async def test_calls_and_servers_wait_for_the_first_connection(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.transport")
    events: list[ConnectionEvent] = []
    url = proxy.url
    async with leveret.connect(
        url, lazy=True, reconnect=SOON, on_connection=events.append
    ) as rabbit:
        assert rabbit.state is State.CONNECTING
        serving = asyncio.ensure_future(rabbit.serving(Echo()).__aenter__())
        echo = rabbit.remote(Echo).with_options(wait_for_server=True, timeout=300)
        call = asyncio.create_task(echo.echo("x"))
        failed = "attempt 3 to connect failed: cannot connect"
        await until(lambda: failed in caplog.text, "three attempts have failed")
        assert (rabbit.state, call.done(), serving.done()) == ("connecting", False, False)
        with pytest.raises(DeadlineExceeded, match="not connected: cannot connect") as late:
            await rabbit.plain("words", timeout=0.05).call("x")
        assert (late.value.executed, late.value.where) == ("no", "client")
        assert isinstance(late.value.__cause__, ConnectionLost)
        with pytest.raises(ConnectionLost, match="not sent: cannot connect") as refused:
            await echo.with_options(wait_for_connection=False).echo("y")
        assert (refused.value.executed, refused.value.attempts) == ("no", 0)
        proxy.accept()
        assert await call == "x"
        await (await serving).close()
    lines = [r.getMessage() for r in caplog.records if r.name == "leveret.transport"]
    tries = [line for line in lines if "to connect failed" in line]
    assert len(tries) == events[0].attempts - 1
    (connected,) = [line for line in lines if line not in tries and "closed" not in line]
    assert re.search(rf": connected, at attempt {events[0].attempts}$", connected)
    assert [event.state for event in events] == ["connected", "closed"]


async def test_after_the_first_connection_all_is_as_without_lazy(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url, lazy=True, reconnect=SOON) as rabbit:
        echo = rabbit.remote(Echo)
        with pytest.raises(Unimplemented):
            await echo.echo("x")
        async with rabbit.serving(Echo()):
            assert await echo.echo("x") == "x"
            crash(rabbit)
            assert await echo.echo("y") == "y"


async def test_what_no_attempt_cures_ends_calls_and_servers_at_once_with_its_cause(
    rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    rabbit = leveret.connect(with_wrong_password(rabbitmq_url), lazy=True)
    echo = rabbit.remote(Echo).with_options(timeout=300)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="not sent: .*user 'guest'") as refused:
            await echo.echo("x")
        assert isinstance(refused.value.__cause__, Unauthenticated)
        assert (refused.value.executed, rabbit.state) == ("no", "closed")
    with pytest.raises(Unauthenticated):
        await rabbit.serve(Echo())
    await rabbit  # tries again
    with pytest.raises(Unauthenticated):
        await rabbit.serving(Echo())
    await rabbit.close()
    assert caplog.text.count("given up, until it is opened again: ") == 2


async def test_as_many_attempts_as_the_policy_allows(proxy: FaultProxy) -> None:
    policy = Reconnect(first=0.01, most=0.02, attempts=2)
    async with leveret.connect(proxy.url, lazy=True, reconnect=policy) as rabbit:
        call = rabbit.remote(Echo).with_options(timeout=300).echo("x")
        with pytest.raises(ConnectionLost, match="not sent: cannot connect") as lost:
            await call
        assert lost.value.executed == "no"
        proxy.accept()
        await rabbit
        async with rabbit.serving(Echo()):
            assert await rabbit.remote(Echo).echo("x") == "x"


async def test_a_close_while_it_connects_ends_all_that_waits(proxy: FaultProxy) -> None:
    rabbit = await leveret.connect(proxy.url, lazy=True)
    call = asyncio.create_task(rabbit.remote(Echo).with_options(timeout=300).echo("x"))
    serving = asyncio.create_task(rabbit.serve(Echo(), signals=False))
    await until(lambda: rabbit.calls.failure is not None, "the first attempt has failed")
    await rabbit.close()
    for waiting, words in (call, "the client was closed"), (serving, "not connected"):
        with pytest.raises(ConnectionLost, match=words) as lost:
            await waiting
        assert lost.value.executed == "no"
    assert rabbit.state is State.CLOSED
    never = leveret.connect(proxy.url, lazy=True)
    await never.close()
    await never.close()
    with pytest.raises(RuntimeError, match="not connected: it was closed"):
        never.remote(Echo)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_loop_that_ends_ends_its_connection_and_the_next_one_is_told_what_to_do(
    broker_url: str, *, lazy: bool
) -> None:
    rabbit = leveret.connect(broker_url, lazy=lazy)

    async def forgets_to_close() -> None:
        await rabbit
        async with rabbit.serving(Echo()):
            assert await rabbit.remote(Echo).echo("x") == "x"

    async def goes_on() -> None:
        assert rabbit.state is State.CLOSED
        for use in (
            echo.echo("x"),
            plain.call("x"),
            rabbit.call("echo.echo", text="x"),
            rabbit.serve(Echo()),
            rabbit.serving(Echo()).__aenter__(),
            rabbit.close(),
        ):
            with pytest.raises(RuntimeError, match="has ended, .* `await rabbit` opens it again"):
                await use
        async with rabbit, rabbit.serving(Echo()):
            assert await echo.echo("x") == "x"

    asyncio.run(forgets_to_close())
    transport: Any = rabbit.calls.connection._transport
    transport._sock.close()  # which the end of its loop has not done
    transport._sock = None
    echo, plain = rabbit.remote(Echo), rabbit.plain("words")
    asyncio.run(goes_on())


def test_a_loop_that_ends_while_it_connects_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rabbit = leveret.connect("amqp://127.0.0.1:1/", lazy=True)
    echo = rabbit.remote(Echo)

    async def main() -> None:
        call = asyncio.ensure_future(echo.echo("x"))
        await until(lambda: "attempt 1 to connect failed" in caplog.text, "it has failed")
        call.cancel()

    asyncio.run(main())
    assert rabbit.state is State.CLOSED
    assert "never" not in caplog.text


async def test_many_await_one_connection_and_it_is_opened_once(
    proxy: FaultProxy, rabbitmq_url: str
) -> None:
    events: list[ConnectionEvent] = []
    rabbit = leveret.connect(proxy.url, on_connection=events.append)

    async def opened() -> Rabbit:
        return await rabbit

    failed = await asyncio.gather(*(opened() for _ in range(5)), return_exceptions=True)
    assert len({id(error) for error in failed}) == 1  # all wait for one attempt
    assert isinstance(failed[0], ConnectionLost)
    assert rabbit.state is State.CLOSED
    proxy.accept()
    events.clear()
    impatient = asyncio.create_task(opened())
    patient = [asyncio.create_task(opened()) for _ in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert await asyncio.gather(*patient) == [rabbit] * 5
    assert [event.state for event in events] == ["connected"]
    async with rabbit.serving(Echo()):
        assert await (await rabbit).remote(Echo).echo("x") == "x"
    await rabbit.close()


async def test_an_opening_that_nobody_waits_for_any_more_is_given_up(proxy: FaultProxy) -> None:
    rabbit = leveret.connect(proxy.url, wait_for_broker=300)

    async def opened() -> None:
        await rabbit

    waiting = [asyncio.create_task(opened()) for _ in range(2)]
    await until(lambda: rabbit.state is State.CONNECTING, "it is being opened")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert rabbit.state is State.CLOSED
    closed = asyncio.create_task(opened())
    await until(lambda: rabbit.state is State.CONNECTING, "it is being opened again")
    await rabbit.close()
    with pytest.raises(ConnectionLost, match="closed while it was being opened"):
        await closed


async def test_the_embedded_broker_comes_when_it_is_used() -> None:
    rabbit = leveret.connect("embedded://", lazy=True)
    async with rabbit.serving(Echo()):
        assert await rabbit.remote(Echo).echo("x") == "x"
    await rabbit.close()


def test_lazy_waits_for_no_broker() -> None:
    with pytest.raises(InvalidArgument, match="with lazy=True it does not wait"):
        leveret.connect("embedded://", lazy=True, wait_for_broker=5)
