"""Our client against servers as the tutorial writes them, good ones and bad ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aio_pika.abc import AbstractChannel

import leveret
from leveret import DeadlineExceeded, InvalidResult, NoServer, RemoteError, Unimplemented
from tests.interop.programs import PEERS, TUTORIAL, run, running

SERVERS = pytest.mark.parametrize(
    "server", [PEERS / "pika_server.py", PEERS / "aio_pika_server.py"], ids=["pika", "aio-pika"]
)
BAD_SERVER = PEERS / "bad_server.py"


@SERVERS
async def test_our_client_calls_the_tutorials_server(
    server: Path, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(server, queue, url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            assert await rabbit.plain(queue).call(30) == "832040"
            assert await rabbit.plain(queue).call("30") == "832040"
            assert await rabbit.plain(queue, result=int).call(30) == 832040


@SERVERS
async def test_every_call_in_flight_gets_its_own_answer(
    server: Path, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(server, queue, url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            fib = rabbit.plain(queue, result=int)
            answers = await asyncio.gather(*(fib.call(n % 10) for n in range(50)))
    assert answers == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34] * 5


async def test_two_of_their_servers_share_our_calls(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with (
        running(PEERS / "pika_server.py", queue, url=rabbitmq_url) as one,
        running(PEERS / "aio_pika_server.py", queue, url=rabbitmq_url) as other,
        leveret.connect(rabbitmq_url) as rabbit,
    ):
        await one.says("awaiting requests")
        await other.says("awaiting requests")
        fib = rabbit.plain(queue, result=int)
        await asyncio.gather(*(fib.call(10) for _ in range(20)))
        await one.says("answered 10")
        await other.says("answered 10")


@pytest.mark.parametrize("kind", ["quorum", "durable"])
async def test_the_tutorial_client_of_the_examples_calls_their_server(
    kind: str, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(PEERS / "pika_server.py", queue, kind, url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        said = await run(TUTORIAL / "rpc_client.py", "30", queue, url=rabbitmq_url)
    assert said == "fib(30) = 832040"


async def test_a_server_that_never_answers_ends_in_the_deadline(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(BAD_SERVER, queue, "silent", url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            with pytest.raises(DeadlineExceeded, match="1 server listens") as failure:
                await rabbit.plain(queue, timeout=1).call(30)
            assert rabbit.in_flight == 0
    assert failure.value.where == "unknown"
    assert failure.value.executed == "maybe"


async def test_a_server_that_acknowledges_and_dies_ends_in_the_deadline(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(BAD_SERVER, queue, "forgetful", url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            with pytest.raises(DeadlineExceeded, match="no server listens") as failure:
                await rabbit.plain(queue, timeout=2).call(30)
        assert await theirs.ends() == 1
    assert failure.value.executed == "maybe"


async def test_a_server_that_dies_with_the_request_leaves_no_server(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(BAD_SERVER, queue, "dying", url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            call = asyncio.create_task(rabbit.plain(queue, timeout=20).call(30))
            await theirs.says("taken")
            await theirs.order("die")
            assert await theirs.ends() == 1
            with pytest.raises(NoServer, match="no server listens") as failure:
                await call
    assert failure.value.executed == "maybe"


async def test_a_server_that_starts_after_another_died_answers_in_its_place(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with (
        running(BAD_SERVER, queue, "dying", url=rabbitmq_url) as dying,
        running(PEERS / "pika_server.py", queue, url=rabbitmq_url) as other,
        leveret.connect(rabbitmq_url) as rabbit,
    ):
        await dying.says("awaiting requests")
        await other.says("awaiting requests")
        fib = rabbit.plain(queue, result=int, timeout=20)
        calls = [asyncio.create_task(fib.call(30)) for _ in range(4)]
        await dying.says("taken")
        await dying.order("die")
        assert await asyncio.gather(*calls) == [832040] * 4


async def test_a_queue_that_does_not_exist_is_unimplemented(rabbitmq_url: str, queue: str) -> None:
    async with leveret.connect(rabbitmq_url) as rabbit:
        with pytest.raises(Unimplemented, match=queue) as failure:
            await rabbit.plain(queue).call(30)
    assert failure.value.executed == "no"


async def test_a_queue_without_consumer_has_no_server(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    await channel.declare_queue(queue, durable=True)
    async with leveret.connect(rabbitmq_url) as rabbit:
        with pytest.raises(NoServer, match="0 requests waiting") as failure:
            await rabbit.plain(queue).call(30)
    assert failure.value.executed == "no"
    assert (await channel.declare_queue(queue, passive=True)).declaration_result.message_count == 0


async def test_answers_with_unknown_correlation_ids_are_dropped_and_counted(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(BAD_SERVER, queue, "confused", url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            fib = rabbit.plain(queue, result=int)
            assert await fib.call(30) == 832040
            # The answers come in the order in which they were sent: by the end of the second
            # call, all of the first one's are here, the duplicate included.
            assert await fib.call(30) == 832040
            assert rabbit.late_replies in (7, 8)  # the second duplicate may be on its way
            assert rabbit.in_flight == 0


async def test_an_answer_that_is_no_number_is_an_invalid_result(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(BAD_SERVER, queue, "babbling", url=rabbitmq_url) as theirs:
        await theirs.says("awaiting requests")
        async with leveret.connect(rabbitmq_url) as rabbit:
            with pytest.raises(InvalidResult, match="about a million") as failure:
                await rabbit.plain(queue, result=int).call(30)
            assert await rabbit.plain(queue).call(30) == "about a million"
    assert failure.value.executed == "yes"


async def test_an_error_of_our_plain_server_is_an_error_at_our_plain_client(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(TUTORIAL / "rpc_server.py", queue, url=rabbitmq_url) as ours:
        await ours.says("serving fibonacci")
        async with leveret.connect(rabbitmq_url) as rabbit:
            assert await rabbit.plain(queue, result=int).call(30) == 832040
            with pytest.raises(RemoteError, match="Expected `int`"):
                await rabbit.plain(queue).call("abc")
