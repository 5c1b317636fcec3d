"""The control exchange: what anybody can ask of servers, in bare AMQP."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import msgspec
import pytest

import leveret
from leveret import Rabbit
from leveret.server.server import Server
from leveret.server.subscription import Subscription
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Fibonacci, Gate


async def answer(raw: RawPeer) -> dict[str, Any]:
    reply = await raw.reply()
    assert reply.properties.type == "result"
    assert reply.properties.content_type == "application/json"
    return msgspec.json.decode(reply.body or b"", type=dict[str, Any])


def keys(server: Server) -> list[str]:
    return ["all", "echo", f"echo.{server.instance}", "fibonacci"]


async def test_ping_is_answered_under_every_key_of_a_server(
    rabbitmq_url: str, raw: RawPeer
) -> None:
    await raw.listen()
    async with (
        leveret.connect(rabbitmq_url, name="shelf 3") as host,
        host.serving(Echo(), Fibonacci()) as server,
    ):
        for key in keys(server):
            raw.control(key, "ping")
            told = await answer(raw)
            assert told["instance"] == server.instance
            assert told["name"] == "shelf 3"
            assert told["services"] == ["echo", "fibonacci"]
            assert told["calls_for_all"] is True
            assert told["process"]["pid"] == os.getpid()


async def test_all_servers_answer_and_one_can_be_asked_alone(
    host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Echo()) as one, other_host.serving(Echo()) as two:
        raw.control("echo", "ping")
        found = {(await answer(raw))["instance"] for _ in range(2)}
        assert found == {one.instance, two.instance}
        raw.control(f"echo.{two.instance}", "ping")
        assert (await answer(raw))["instance"] == two.instance


async def test_a_server_that_is_asked_before_its_methods_can_be_called_answers_once_they_can(
    client: Rabbit, host: Rabbit, raw: RawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens, may_start, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    start = Subscription.start

    async def start_later(queue: Subscription) -> None:
        listens.set()
        await may_start.wait()
        await start(queue)

    async def serve() -> None:
        async with host.serving(Echo()):
            await over.wait()

    monkeypatch.setattr(Subscription, "start", start_later)
    await raw.listen()
    serving = asyncio.create_task(serve())
    await listens.wait()
    raw.control("echo", "ping")
    assert (await client.ping(Echo, timeout=0.2)).servers == []
    may_start.set()
    assert (await answer(raw))["services"] == ["echo"]
    assert await client.remote(Echo).echo("x") == "x"
    over.set()
    await serving


async def test_a_server_counts_from_the_start_of_the_last_other_one_even_if_that_has_gone(
    host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Echo()):
        before = time.monotonic()
        async with other_host.serving(Echo()):
            pass
        raw.control("echo", "since", b"leveret.echo.echo")
        told = await answer(raw)
        assert told["seconds"] <= time.monotonic() - before


async def test_info_tells_the_schemas(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    async with host.serving(Fibonacci()):
        raw.control("all", "info", correlation_id="17")
        reply = await raw.reply()
    assert reply.properties.correlation_id == "17"
    info = msgspec.json.decode(reply.body or b"")
    assert info["schemas"] == {"fibonacci": leveret.service_schema(Fibonacci)}


async def test_stats_tell_what_ran_and_runs(client: Rabbit, host: Rabbit, raw: RawPeer) -> None:
    gate = Gate()
    await raw.listen()
    async with host.serving(gate, Fibonacci()):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        for n in range(3):
            await client.remote(Fibonacci).fib(n)
        with pytest.raises(leveret.InvalidArgument):
            await client.call("fibonacci.fib", n=-1)
        raw.control("all", "stats")
        stats = await answer(raw)
        gate.opened.set()
        await call
    methods = stats["methods"]
    assert methods["leveret.gate.once"] == {
        "method": "gate.once",
        "finished": 0,
        "failed": 0,
        "running": 1,
        "concurrency": 100,
    }
    assert methods["leveret.fibonacci.fib"]["finished"] == 4
    assert methods["leveret.fibonacci.fib"]["running"] == 0
    assert stats["uptime"] >= 0


async def test_anybody_who_knows_a_calls_names_can_cancel_it(host: Rabbit, raw: RawPeer) -> None:
    gate = Gate()
    await raw.listen()
    async with host.serving(gate):
        raw.request("gate.once", b'{"n":1}', correlation_id="c-1")
        raw.request("gate.once", b'{"n":2}', correlation_id="c-2")
        await until(lambda: gate.started.qsize() == 2, "both run")
        raw.control("gate", "cancel", correlation_id="c-1")
        failure = await raw.failure()
        assert failure["code"] == "CANCELLED"
        assert gate.cancelled == [1]
        gate.opened.set()
        assert (await raw.reply()).body == b"2"


async def test_messages_that_say_nothing_known_do_no_harm(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Echo()):
        raw.control("all", "dance")
        raw.control("all", "ping", reply_to=None)
        raw.control("all", "cancel", reply_to=None, correlation_id=None)
        raw.control("all", "cancel", expiration="1", correlation_id="\udcff")
        raw.control("all", "ping", reply_to="no.such.queue")
        raw.control("all", "ping")
        assert (await answer(raw))["services"] == ["echo"]
        assert await client.remote(Echo).echo("x") == "x"
        assert raw.nothing_came()
