"""Connections that break and come back, and what becomes of the calls on them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import leveret
from leveret import (
    Busy,
    ConnectionEvent,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    Rabbit,
    Reconnect,
)
from leveret.client.calls.life import State
from leveret.rabbit import opened
from leveret.server.calls.life import Holding
from leveret.server.method_server import MethodServer
from leveret.testing import Cut, FaultProxy, Stall, after_frame
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate
from tests.brokers import Broker


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    """The cable that a test cuts."""
    async with FaultProxy(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture
async def far(proxy: FaultProxy) -> AsyncIterator[Rabbit]:
    """A connection by way of the proxy."""
    async with leveret.connect(proxy.url) as rabbit:
        yield rabbit


async def outage(proxy: FaultProxy, rabbit: Rabbit) -> None:
    """Cut the cable, and keep it cut."""
    proxy.refuse()
    proxy.cut()
    await until(lambda: rabbit.state == "reconnecting", "the connection is lost")


# -- the client's connection breaks ----------------------------------------------------------------


async def test_a_call_gets_its_reply_after_the_clients_connection_broke(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        remote = client.remote(Gate)
        calls = [asyncio.create_task(remote.once(1)), asyncio.create_task(remote.again(2))]
        await until(lambda: gate.started.qsize() == 2, "both run")
        await until(lambda: not client.calls.unconfirmed, "both are confirmed")
        crash(client)
        gate.opened.set()
        assert await asyncio.gather(*calls) == [1, 2]
    assert sorted(gate.ended) == [1, 2]


async def test_replies_that_came_during_an_outage_wait_for_the_client(
    proxy: FaultProxy, far: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(far.remote(Gate).once(1))
        await until(lambda: gate.started.qsize() == 1, "it runs")
        await until(lambda: not far.calls.unconfirmed, "it is confirmed")
        await outage(proxy, far)
        gate.opened.set()
        await until(lambda: gate.ended == [1], "it ends")
        proxy.accept()
        assert await call == 1


async def test_an_unconfirmed_idempotent_call_is_sent_again(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Echo()):
        call = asyncio.create_task(client.remote(Echo).echo("x"))
        await asyncio.sleep(0)
        assert client.in_flight == 1
        crash(client)
        assert await call == "x"


async def test_another_unconfirmed_call_ends_at_once_and_may_have_run(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Gate()):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await asyncio.sleep(0)
        assert client.in_flight == 1
        crash(client)
        with pytest.raises(ConnectionLost, match="connection broke") as caught:
            await call
        assert caught.value.executed == "maybe"


async def test_a_call_during_an_outage_waits_for_the_connection(
    proxy: FaultProxy, far: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Echo()):
        await outage(proxy, far)
        call = asyncio.create_task(far.remote(Echo).echo("x"))
        await asyncio.sleep(0)
        assert far.in_flight == 0
        proxy.accept()
        assert await call == "x"


async def test_a_call_that_waits_for_a_connection_keeps_its_deadline(
    proxy: FaultProxy, far: Rabbit
) -> None:
    await outage(proxy, far)
    with pytest.raises(DeadlineExceeded, match=r"not sent in 0\.2 s: not connected") as caught:
        await far.remote(Echo).with_options(timeout=0.2).echo("x")
    error = caught.value
    assert (error.executed, error.where, error.attempts) == ("no", "client", 0)


async def test_a_call_can_fail_at_once_during_an_outage(proxy: FaultProxy, far: Rabbit) -> None:
    await outage(proxy, far)
    async with at_once():
        with pytest.raises(ConnectionLost, match="not sent") as caught:
            await far.remote(Gate).with_options(wait_for_connection=False).once(1)
    assert caught.value.executed == "no"


async def test_the_calls_that_wait_for_a_connection_are_bounded(
    proxy: FaultProxy, host: Rabbit
) -> None:
    async with (
        leveret.connect(proxy.url, max_in_flight=3) as far,
        host.serving(Echo()),
    ):
        await outage(proxy, far)
        echo = far.remote(Echo).echo
        waiting = [asyncio.create_task(echo(str(n))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="3 calls are in flight already") as caught:
            await echo("one too many")
        assert caught.value.executed == "no"
        proxy.accept()
        assert await asyncio.gather(*waiting) == ["0", "1", "2"]


async def test_calls_by_name_and_plain_calls_wait_for_the_connection_too(
    proxy: FaultProxy, far: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Echo(), plain={"plain_echo": "echo.echo"}):
        await outage(proxy, far)
        named = asyncio.create_task(far.call("echo.echo", text="a"))
        plain = asyncio.create_task(far.plain("plain_echo").call("b"))
        await asyncio.sleep(0)
        proxy.accept()
        assert (await named, await plain) == ("a", "b")


# -- the server's connection breaks ----------------------------------------------------------------


async def test_a_server_goes_on_after_its_connection_broke(client: Rabbit, host: Rabbit) -> None:
    echo = client.remote(Echo).with_options(wait_for_server=True)
    async with host.serving(Echo()):
        for n in range(3):
            crash(host)
            assert await echo.echo(str(n)) == str(n)


def held(method: MethodServer) -> int:
    """How many of its calls have a delivery that is not void."""
    return sum(call.holding is Holding.HELD for call in method.calls)


async def test_a_handler_that_runs_while_its_servers_connection_breaks_is_not_run_twice(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        remote = client.remote(Gate)
        calls = [asyncio.create_task(remote.once(1)), asyncio.create_task(remote.again(2))]
        await until(lambda: client.calls.at_servers == 2, "both run")
        methods = [server.methods["gate.once"], server.methods["gate.again"]]
        assert [held(method) for method in methods] == [1, 1]
        crash(host)
        await until(
            lambda: [held(method) for method in methods] == [1, 1],
            "their requests come again, and are known",
        )
        gate.opened.set()
        assert await asyncio.gather(*calls) == [1, 2]
        assert sorted(gate.ended) == [1, 2]
        assert gate.started.qsize() == 2


async def test_a_reply_that_is_ready_during_an_outage_of_the_server_is_sent_after_it(
    proxy: FaultProxy, far: Rabbit, client: Rabbit
) -> None:
    gate = Gate()
    async with far.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await until(lambda: client.calls.at_servers == 1, "it runs")
        await outage(proxy, far)
        gate.opened.set()
        await until(lambda: gate.ended == [1], "it ends")
        proxy.accept()
        assert await call == 1
    assert gate.started.qsize() == 1


async def test_a_queue_that_an_operator_deletes_is_declared_again_and_its_calls_sent_again(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate, concurrency=1):
        remote = client.remote(Gate)
        calls = [asyncio.create_task(remote.again(n)) for n in range(2)]
        await until(
            lambda: client.calls.at_servers == 1,
            "one runs, the other waits",
        )
        await raw.delete("leveret.gate.again")
        gate.opened.set()
        assert await asyncio.gather(*calls) == [0, 1]


async def test_a_drain_that_loses_its_connection_ends(
    proxy: FaultProxy, far: Rabbit, client: Rabbit
) -> None:
    gate = Gate()
    async with far.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).with_options(timeout=1).once(1))
        await gate.started.get()
        route = client.calls.routes["gate.once"]
        await until(lambda: route.finding.consumers == 1, "the client knows of the server")
        drain = asyncio.create_task(server.drain())
        proxy.refuse()
        proxy.cut()
        async with at_once():
            await drain
    with pytest.raises((DeadlineExceeded, MaybeExecuted, NoServer)) as caught:
        await call
    # "yes" if its deadline passed before the connection was cut, on a busy machine.
    assert caught.value.executed in {"maybe", "yes"}


# -- a request that kills its servers --------------------------------------------------------------


async def test_a_request_that_kills_each_of_its_servers_is_given_up(
    client: Rabbit, host: Rabbit, rabbitmq_url: str
) -> None:
    async with host.serving(Gate()):
        pass
    call = asyncio.create_task(client.remote(Gate).with_options(wait_for_server=True).again(1))
    runs = 0
    while not call.done():
        gate = Gate()
        async with (
            leveret.connect(rabbitmq_url, reconnect=False) as mortal,
            mortal.serving(gate, grace=0),
        ):
            started = asyncio.create_task(gate.started.get())
            await asyncio.wait((started, call), return_when=asyncio.FIRST_COMPLETED)
            runs += started.done()
            started.cancel()
            crash(mortal)
        await asyncio.gather(started, return_exceptions=True)
    with pytest.raises(MaybeExecuted, match="it is given up") as caught:
        await call
    assert caught.value.executed == "maybe"
    assert runs == 6  # once, and five times again


# -- what a user sees of it ------------------------------------------------------------------------


async def test_the_state_and_its_changes_are_told(proxy: FaultProxy) -> None:
    told: list[ConnectionEvent] = []
    rabbit = leveret.connect(proxy.url, on_connection=told.append)
    assert rabbit.state == "closed"
    async with rabbit:
        assert rabbit.state == "connected"
        await outage(proxy, rabbit)
        proxy.accept()
        await until(lambda: rabbit.state == "connected", "it is connected again")
    assert rabbit.state == "closed"
    assert [event.state for event in told] == ["connected", "reconnecting", "connected", "closed"]
    assert told[0].broker == f"127.0.0.1:{proxy.port}"
    assert "connection lost" in told[1].reason
    assert told[2].attempts >= 1


async def test_a_close_that_the_broker_does_not_answer_connects_no_more(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opened, "CLOSE_TIMEOUT", 0.2)
    told: list[ConnectionEvent] = []
    async with leveret.connect(proxy.url, on_connection=told.append):
        proxy.stall()
    assert [str(event.state) for event in told] == ["connected", "closed"]
    assert "the broker answers no goodbye" in told[-1].reason
    assert "connecting again" not in caplog.text
    assert "no goodbye" in caplog.text


async def test_a_hook_that_fails_harms_nothing(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: ConnectionEvent) -> None:
        raise ValueError(event.state)

    async with leveret.connect(proxy.url, on_connection=fail) as rabbit:
        proxy.cut()
        await until(lambda: rabbit.state == "connected", "it is connected again")
    assert "the on_connection hook failed" in caplog.text


async def test_each_attempt_is_logged_once(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Reconnect(first=0.01, most=0.01, attempts=3)
    async with leveret.connect(proxy.url, reconnect=policy) as rabbit:
        proxy.refuse()
        proxy.cut()
        await until(lambda: rabbit.state == "closed", "it gives up")
        with pytest.raises(ConnectionLost, match="not sent: cannot connect") as caught:
            await rabbit.remote(Echo).echo("x")
        assert caught.value.executed == "no"
    for attempt in (1, 2, 3):
        assert caplog.text.count(f"attempt {attempt} to connect again failed") == 1
    assert "attempt 4" not in caplog.text


async def test_serve_ends_when_the_connection_is_given_up(
    proxy: FaultProxy, client: Rabbit
) -> None:
    policy = Reconnect(first=0.01, most=0.01, attempts=2)
    async with leveret.connect(proxy.url, reconnect=policy) as rabbit:
        serve = asyncio.create_task(rabbit.serve(Echo()))
        await client.remote(Echo).with_options(wait_for_server=True).echo("x")
        proxy.refuse()
        proxy.cut()
        async with at_once():
            with pytest.raises(ConnectionLost, match="cannot connect"):
                await serve


@pytest.mark.parametrize("most", [2, 3])  # a client, control, a queue, and one for the checks
async def test_a_user_with_too_few_channels_is_told_so_when_it_serves(
    broker: Broker, client: Rabbit, most: int
) -> None:
    few = f"few-{secrets.token_hex(4)}"
    broker.add_user(few, "pw", configure=".*", write=".*", read=".*")
    broker.limit_channels(few, most)
    url = broker.url.replace("guest:guest", f"{few}:pw")
    async with at_once(), leveret.connect(url) as rabbit:
        for serve_once in (_serve_until_called, _serve_for_a_moment):
            with pytest.raises(
                PermissionDenied, match=f"number of channels opened .* of \\({most}\\)"
            ):
                await _until_refused(serve_once, rabbit, client)


async def _until_refused(
    serve_once: Callable[[Rabbit, Rabbit], Awaitable[None]], rabbit: Rabbit, client: Rabbit
) -> None:
    while True:  # RabbitMQ counts a moment late: it may let one channel too many open
        await serve_once(rabbit, client)


async def _serve_until_called(rabbit: Rabbit, client: Rabbit) -> None:
    """Serve until a call is answered.

    :raises LeveretError: what ended `serve` before.
    """
    serve = asyncio.create_task(rabbit.serve(Echo()))
    waiting = client.remote(Echo).with_options(wait_for_server=True)
    call = asyncio.create_task(waiting.echo("x"))
    await asyncio.wait({serve, call}, return_when=asyncio.FIRST_COMPLETED)
    for task in (serve, call):
        if not task.done():
            task.cancel()
    await asyncio.gather(call, return_exceptions=True)
    with contextlib.suppress(asyncio.CancelledError):
        await serve


async def _serve_for_a_moment(rabbit: Rabbit, client: Rabbit) -> None:
    del client  # calls nothing
    async with rabbit.serving(Echo()):
        pass


async def test_a_server_whose_connections_break_at_once_ends_after_so_many_attempts(
    proxy: FaultProxy, client: Rabbit
) -> None:
    policy = Reconnect(first=0.01, most=0.01, attempts=3)
    async with leveret.connect(proxy.url, reconnect=policy) as rabbit:
        serve = asyncio.create_task(rabbit.serve(Echo()))
        await client.remote(Echo).with_options(wait_for_server=True).echo("x")
        consuming = after_frame(1, "to_client", kind="basic.consume-ok")
        proxy.when(consuming, Cut(), each_connection=True)
        proxy.cut()
        async with at_once():
            with pytest.raises(ConnectionLost, match="connection lost"):
                await serve
        assert proxy.accepted == 1 + 3


async def test_a_first_connection_can_be_waited_for(rabbitmq_url: str) -> None:
    async with FaultProxy(rabbitmq_url) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionLost, match="Is RabbitMQ running there"):
            await leveret.connect(proxy.url)
        opening = asyncio.create_task(_opened(leveret.connect(proxy.url, wait_for_broker=60)))
        await asyncio.sleep(0)
        proxy.accept()
        rabbit = await opening
        assert rabbit.state == "connected"
        await rabbit.close()


async def _opened(rabbit: Rabbit) -> Rabbit:
    return await rabbit


def test_a_policy_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="0 < first <= most"):
        Reconnect(first=5, most=1)
    with pytest.raises(InvalidArgument, match="attempts must be 0 or more"):
        Reconnect(attempts=-1)


def test_the_pause_before_an_attempt_is_random_below_a_limit_that_doubles() -> None:
    policy = Reconnect(first=0.1, most=1.0)
    for attempt, limit in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (1000, 1.0)):
        pauses = [policy.pause(attempt) for _ in range(200)]
        assert all(0 <= pause <= limit for pause in pauses)
        assert min(pauses) < limit / 4 < limit * 3 / 4 < max(pauses)


async def test_a_host_that_takes_connections_and_says_nothing_is_passed_over(
    proxy: FaultProxy, rabbitmq_url: str, host: Rabbit
) -> None:
    proxy.refuse("silence")
    silent = f"127.0.0.1:{proxy.port}"
    user, _, rest = rabbitmq_url.partition("@")
    async with (
        at_once(),
        host.serving(Echo()),
        leveret.connect(f"{user}@{silent},{rest}?connection_timeout=60000") as rabbit,
    ):
        assert await rabbit.remote(Echo).echo("x") == "x"
        assert proxy.accepted == 1


async def test_closing_a_client_during_an_outage_ends_its_calls(
    proxy: FaultProxy, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        rabbit = await leveret.connect(proxy.url)
        running = asyncio.create_task(rabbit.remote(Gate).once(1))
        await gate.started.get()
        await until(lambda: not rabbit.calls.unconfirmed, "it is confirmed")
        await outage(proxy, rabbit)
        waiting = asyncio.create_task(rabbit.remote(Gate).once(2))
        await asyncio.sleep(0)
        async with at_once():
            await rabbit.close()
            with pytest.raises(MaybeExecuted):
                await running
            with pytest.raises(ConnectionLost) as caught:
                await waiting
        assert caught.value.executed == "no"
        gate.opened.set()


async def test_what_was_looked_for_is_forgotten_when_it_ends(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate, other = Gate(), Gate()
    async with host.serving(gate, concurrency=1):
        pass
    taken = await raw.take("leveret.gate.again")
    remote = client.remote(Gate).with_options(timeout=20)
    lost = asyncio.create_task(remote.again(1))
    request = await taken.get()
    await until(lambda: client.calls.count(State.SOUGHT) == 1, "its queue is empty, nobody runs it")
    async with host.serving(other):
        busy = asyncio.create_task(remote.once(2))  # so that the client goes on looking
        await other.started.get()
        raw.answer(request, b"1")
        assert await lost == 1
        await until(lambda: not client.calls.count(State.SOUGHT), "it is forgotten")
        other.opened.set()
        assert await busy == 2


async def test_a_host_of_whom_nothing_is_heard_after_its_welcome_is_passed_over(
    proxy: FaultProxy, rabbitmq_url: str
) -> None:
    """Every time: it must not be the first that is tried again and again."""
    welcome = after_frame(1, "to_client", kind="connection.open-ok")
    proxy.when(welcome, Stall("to_client"), each_connection=True)
    sick = f"127.0.0.1:{proxy.port}"
    user, _, rest = rabbitmq_url.partition("@")
    async with (
        asyncio.timeout(PATIENCE),
        leveret.connect(f"{user}@{sick},{rest}?connection_timeout=60000") as rabbit,
        rabbit.serving(Echo()),
    ):
        assert await rabbit.remote(Echo).echo("x") == "x"
        crash(rabbit)
        assert await rabbit.remote(Echo).with_options(timeout=30).echo("y") == "y"
        assert proxy.accepted == 2


@pytest.mark.slow
async def test_the_end_does_not_wait_long_for_a_broker_that_is_silent(proxy: FaultProxy) -> None:
    rabbit = await leveret.connect(f"{proxy.url}?heartbeat=0")
    async with asyncio.timeout(PATIENCE):
        async with rabbit.serving(Echo()):
            proxy.stall()
        await rabbit.close()
    assert rabbit.state == "closed"
