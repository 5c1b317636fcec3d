"""The tutorial's clients, as written for pika and for aio-pika, against a server of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

import leveret
from leveret import Meta, Service, method
from tests.interop.peers.pika_server import KINDS
from tests.interop.programs import PEERS, TUTORIAL, run, running

CLIENTS = pytest.mark.parametrize(
    "client", [PEERS / "pika_client.py", PEERS / "aio_pika_client.py"], ids=["pika", "aio-pika"]
)
SERVER = TUTORIAL / "rpc_server.py"


class Fib(Service):
    """A service whose handlers wait for the test where they need to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    @method(idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0)]) -> int:
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a

    @method
    async def slow_fib(self, n: int) -> int:
        self.begun.set()
        await self.may_end.wait()
        return await self.fib(n)

    @method
    async def broken_fib(self, n: int) -> int:
        raise ZeroDivisionError("no rabbits left")


class Asker:
    """Sends single requests and takes their answers, as any client may."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._replies: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._reply_to = ""

    async def send(self, body: bytes, **properties: Any) -> None:
        """One request; `reply_to` is ours where none is given."""
        if not self._reply_to:
            replies = await self._channel.declare_queue(exclusive=True)
            await replies.consume(self._replies.put, no_ack=True)
            self._reply_to = replies.name
        message = aio_pika.Message(body, **{"reply_to": self._reply_to, **properties})
        await self._channel.default_exchange.publish(message, routing_key=self._queue)

    async def answer(self) -> AbstractIncomingMessage:
        """The next answer."""
        async with asyncio.timeout(20):
            return await self._replies.get()

    async def waiting(self) -> int:
        """How many requests no server has taken."""
        declared = await self._channel.declare_queue(self._queue, passive=True)
        return declared.declaration_result.message_count or 0


async def declared(channel: AbstractChannel, queue: str, kind: str) -> bool:
    """Declare a queue as the tutorial does; False where the broker is too new for such ones."""
    try:
        await channel.declare_queue(queue, **KINDS[kind])
    except aio_pika.exceptions.AMQPError as refusal:
        # From RabbitMQ 4.3 on no queue may be neither durable nor exclusive.
        if "transient_nonexcl_queues" in str(refusal):
            return False
        raise
    return True


@pytest.fixture
def asker(channel: AbstractChannel, queue: str) -> Asker:
    return Asker(channel, queue)


@CLIENTS
async def test_the_tutorials_client_is_answered_by_our_server(
    client: Path, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(SERVER, queue, url=rabbitmq_url) as server:
        await server.says("serving fibonacci")
        said = await run(client, queue, "30", "0", "1", "10", url=rabbitmq_url)
    assert said.splitlines() == ["answer: 832040", "answer: 0", "answer: 1", "answer: 55"]


@CLIENTS
@pytest.mark.parametrize("kind", ["quorum", "durable", "transient"])
async def test_our_server_serves_from_a_queue_as_they_declared_it(
    client: Path, kind: str, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    if not await declared(channel, queue, kind):
        return
    async with running(SERVER, queue, url=rabbitmq_url) as server:
        await server.says("serving fibonacci")
        assert await run(client, queue, "30", url=rabbitmq_url) == "answer: 832040"


async def test_our_queue_can_be_declared_again_by_their_server_and_both_share_the_work(
    rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Fib(), plain={queue: "fib.fib"}) as ours,
        running(PEERS / "pika_server.py", queue, url=rabbitmq_url) as theirs,
    ):
        await theirs.says("awaiting requests")
        requests = [str(n) for n in range(10)]
        said = await run(PEERS / "aio_pika_client.py", queue, *requests, url=rabbitmq_url)
        await theirs.says("answered")
        assert sum(queue.source.finished for queue in ours.subscriptions if queue.source) > 0
    numbers = [int(line.removeprefix("answer: ")) for line in said.splitlines()]
    assert numbers == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]


@CLIENTS
async def test_a_body_that_is_no_number_is_answered_and_the_next_one_too(
    client: Path, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    async with running(SERVER, queue, url=rabbitmq_url) as server:
        await server.says("serving fibonacci")
        said = await run(client, queue, "abc", "-1", "30", url=rabbitmq_url)
    not_a_number, negative, right = said.splitlines()
    assert "Expected `int`" in not_a_number
    assert ">= 0" in negative
    assert right == "answer: 832040"


@pytest.mark.parametrize(
    ("function", "body", "text"),
    [
        ("fib", b"abc", "Expected `int`"),
        ("fib", b"", "Expected `int`"),
        ("fib", b"\xff\xfe", "utf-8"),
        ("fib", b"-1", ">= 0"),
        ("broken_fib", b"1", "no rabbits left"),
    ],
)
async def test_a_failure_is_answered_with_type_error_and_text(
    function: str, body: bytes, text: str, rabbitmq_url: str, queue: str, asker: Asker
) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Fib(), plain={queue: f"fib.{function}"}),
    ):
        await asker.send(body, correlation_id="7")
        answer = await asker.answer()
    assert answer.type == "error"
    assert answer.content_type == "text/plain"
    assert answer.correlation_id == "7"
    assert text in answer.body.decode()


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"content_type": "text/plain"},
        {"content_type": "application/octet-stream"},
        {"content_type": "application/json", "content_encoding": "utf-8"},
        {"type": "anything", "headers": {"deadline": "tomorrow", "x": 1}},
    ],
    ids=str,
)
async def test_a_body_is_text_whatever_its_sender_calls_it(
    properties: dict[str, Any], rabbitmq_url: str, queue: str, asker: Asker
) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Fib(), plain={queue: "fib.fib"}),
    ):
        await asker.send(b" 30\n", correlation_id="7", **properties)
        answer = await asker.answer()
    assert (answer.body, answer.correlation_id, answer.type) == (b"832040", "7", "result")


async def test_a_request_without_correlation_id_is_answered_without_one(
    rabbitmq_url: str, queue: str, asker: Asker
) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Fib(), plain={queue: "fib.fib"}),
    ):
        await asker.send(b"30")
        await asker.send(b"abc")
        answers = [await asker.answer(), await asker.answer()]
    assert answers[0].body == b"832040"
    assert answers[1].type == "error"
    assert [answer.correlation_id for answer in answers] == [None, None]


async def test_a_request_without_reply_to_is_worked_on_and_acknowledged(
    rabbitmq_url: str, queue: str, asker: Asker
) -> None:
    async with leveret.connect(rabbitmq_url) as rabbit:
        async with rabbit.serving(Fib(), plain={queue: "fib.fib"}):
            await asker.send(b"30", reply_to=None)
            await asker.send(b"abc", reply_to=None)
            await asker.send(b"10")
            assert (await asker.answer()).body == b"55"
        assert await asker.waiting() == 0


async def test_a_reply_queue_that_is_gone_holds_up_nobody(
    rabbitmq_url: str, queue: str, asker: Asker
) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Fib(), plain={queue: "fib.fib"}),
    ):
        await asker.send(b"30", reply_to="amq.gen-of-a-client-that-left")
        await asker.send(b"10")
        assert (await asker.answer()).body == b"55"


@CLIENTS
@pytest.mark.parametrize(
    ("function", "answer"), [("fib", "832040"), ("slow_fib", "the method is not idempotent")]
)
async def test_what_a_dead_server_had_taken_runs_again_only_if_that_does_no_harm(
    function: str,
    answer: str,
    client: Path,
    rabbitmq_url: str,
    queue: str,
    channel: AbstractChannel,
) -> None:
    async with (
        running(PEERS / "bad_server.py", queue, "dying", url=rabbitmq_url) as dying,
        leveret.connect(rabbitmq_url) as rabbit,
    ):
        await dying.says("awaiting requests")
        async with running(client, queue, "30", url=rabbitmq_url) as waiting:
            await dying.says("taken")
            async with rabbit.serving(Fib(), plain={queue: f"fib.{function}"}):
                await dying.order("die")
                assert answer in await waiting.says("answer")
                assert await waiting.ends() == 0


@CLIENTS
async def test_a_draining_server_still_answers_the_tutorials_client(
    client: Path, rabbitmq_url: str, queue: str, channel: AbstractChannel
) -> None:
    service = Fib()
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(service, plain={queue: "fib.slow_fib"}) as server,
        running(client, queue, "30", url=rabbitmq_url) as waiting,
    ):
        await service.begun.wait()
        drain = asyncio.create_task(server.drain())
        # The drain has gone past its first step once the broker knows no consumer any more.
        while (await channel.declare_queue(queue, passive=True)).declaration_result.consumer_count:
            pass
        service.may_end.set()
        await drain
        assert await waiting.says("answer") == "answer: 832040"
        assert await waiting.ends() == 0
