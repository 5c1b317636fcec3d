"""What docs/protocol.md says in bytes, in JSON and in tables holds on a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pika
import pytest

import leveret
from leveret import Rabbit, Service, method
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.codec import untyped_codec
from leveret.testing import RabbitMQ
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from leveret.wire.native.dialect import NativeClient, NativeServer
from leveret.wire.native.reply import ResultPacker
from leveret.wire.native.request import RequestPacker
from tests.behaviour.patience import until
from tests.docs.bare_client import BareClient
from tests.docs.bare_server import BareServer
from tests.docs.bare_server import Method as BareMethod
from tests.docs.fences import blocks, table
from tests.docs.protocol_services import Desk, Fibonacci

PROTOCOL = "docs/protocol.md"


async def test_control_messages_are_answered_as_documented(
    bare: BareClient, rabbit: Rabbit
) -> None:
    async with rabbit.serving(Fibonacci()):
        assert (await asyncio.to_thread(bare.call, "fibonacci.fib", {"n": 30})).value == 832040
        ping = await asyncio.to_thread(bare.ask, "ping")
        told = [block for block in blocks(PROTOCOL, "json") if block.heading == "Control"]
        for kind, block in zip(("ping", "info", "stats", "calls"), told, strict=True):
            documented = json.loads(block.text)
            answer = await asyncio.to_thread(bare.ask, kind, f"fibonacci.{ping['instance']}")
            # A service has a version and metadata if its class says so.
            missing = documented.keys() - answer.keys()
            assert missing <= {"versions", "metadata"}, f"{block.name} shows another {kind}"
            if kind == "ping":
                assert answer.keys() <= documented.keys()
            for name in ("instance", "name", "services", "started", "process", "uptime"):
                assert type(answer.get(name)) is type(documented.get(name, answer.get(name)))
            assert answer.get("schemas") == documented.get("schemas")
            assert answer.get("bounds") == documented.get("bounds")
            for queue, stats in answer.get("methods", {}).items():
                shown = documented["methods"][queue]
                assert stats.keys() <= shown.keys() | {"running"}
                assert len(stats["handler"]["counts"]) == len(shown["handler"]["counts"])


async def test_a_server_says_for_how_long_it_has_consumed_a_queue_as_documented(
    bare: BareClient, rabbit: Rabbit
) -> None:
    (block,) = [block for block in blocks(PROTOCOL, "json") if block.heading == "Since"]
    async with rabbit.serving(Fibonacci()):
        queue = b"leveret.fibonacci.fib"
        answer = await asyncio.to_thread(bare.ask, "since", "fibonacci", queue)
        assert answer.keys() == json.loads(block.text).keys()
        assert answer["seconds"] > 0
        later = await asyncio.to_thread(bare.ask, "since", "fibonacci", queue)
        assert later["seconds"] > answer["seconds"]


def documented_bytes(number: int) -> bytes:
    """The bytes of a hex block, without their comments."""
    block = blocks(PROTOCOL, "hex")[number]
    return bytes.fromhex("".join(line.partition("#")[0] for line in block.text.splitlines()))


def test_the_request_byte_by_byte_is_what_leveret_sends() -> None:
    address = ReplyAddress(exchange="", key="leveret.reply." + 22 * "0")
    channel = ClientChannel(number=1, frame_max=131_072, reply_to=address, user="", name="")
    packer = RequestPacker(channel, key="fibonacci.fib", content_type="application/json")
    assert packer.pack(b"1f", 1_750_000_005_000, 5000, b'{"n":30}') == documented_bytes(0)


def test_the_reply_byte_by_byte_is_what_leveret_sends() -> None:
    packer = ResultPacker(
        channel=1,
        frame_max=131_072,
        reply_to=ReplyAddress(exchange="", key="leveret.reply." + 22 * "0"),
        content_type="application/json",
    )
    assert packer.pack(b"1f", b"832040") == documented_bytes(1)


async def test_the_array_byte_by_byte_is_what_leveret_sends_and_takes(
    bare: BareClient, rabbit: Rabbit
) -> None:
    codec = untyped_codec("application/vnd.leveret.buffers")
    assert codec.encode_arguments({"a": np.array([1.5, 2.5])}) == documented_bytes(2)

    class Arrays(Service):
        @method
        async def total(self, a: npt.NDArray[np.float64]) -> float:
            return float(a.sum())

    async with rabbit.serving(Arrays()):
        call_id = await asyncio.to_thread(
            bare.send, "arrays.total", documented_bytes(2), content_type=codec.content_type
        )
        answer = await asyncio.to_thread(bare.wait, call_id, 5)
        assert (answer.code, answer.content_type) == ("", codec.content_type)
        assert codec.decode_result(answer.body) == 4.0


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {}),
        ({"queue": "quorum"}, {"x-queue-type": "quorum"}),
        ({"max_length": 7}, {"x-max-length": 7, "x-overflow": "reject-publish-dlx"}),
        (
            {"max_length": 7, "queue": "quorum"},
            {"x-max-length": 7, "x-overflow": "reject-publish", "x-queue-type": "quorum"},
        ),
        ({"priority_levels": 9}, {"x-max-priority": 9}),
        ({"expires": 60}, {"x-expires": 60_000}),
    ],
)
async def test_the_arguments_of_request_queues_are_as_documented(
    rabbit: Rabbit, rabbitmq_url: str, options: dict[str, Any], arguments: dict[str, Any]
) -> None:
    documented = {row[0].strip("`") for row in table(PROTOCOL, "Arguments of a request queue")}
    assert documented >= arguments.keys()

    class Optional(Service):
        @method(**options)
        async def nothing(self) -> None: ...

    with BareServer(
        rabbitmq_url, "optional", {"nothing": BareMethod(handler=print, arguments=arguments)}
    ):
        async with rabbit.serving(Optional()):
            pass  # RabbitMQ would refuse to declare the queue with other arguments
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        connection.channel().queue_delete("leveret.optional.nothing")


@pytest.mark.parametrize(
    ("deadline", "expiration", "least", "most"),
    [
        (20, "5000", 4, 5),
        (5, "20000", 4, 5),
        (5, "0", 4, 5),
        (5, None, 4, 5),
        (5, "soon", 4, 5),
        (None, "5000", 4, 5),
        (None, "0", 99, 100),
        (None, None, 99, 100),
    ],
)
def test_a_server_reckons_the_time_left_as_documented(
    deadline: float | None, expiration: str | None, least: float, most: float
) -> None:
    now = time.time()
    headers = {} if deadline is None else {"deadline": int((now + deadline) * 1000)}
    properties = Properties(headers=headers or None, expiration=expiration)
    delivery = Delivery(1, "", 1, False, "leveret", "clock.left", properties, b"{}", 2)
    request = NativeServer().read(delivery, now, 100)
    assert least < request.deadline - now <= most


async def test_the_documented_permissions_are_enough(own_rabbitmq: RabbitMQ) -> None:
    async with leveret.connect(own_rabbitmq.url) as operator, operator.serving(Fibonacci()):
        pass  # the exchanges exist now
    urls = {}
    for who, *permissions in table(PROTOCOL, "Permissions"):
        name = who.split("`")[1]
        await asyncio.to_thread(own_rabbitmq.ctl, "add_user", name, "secret")
        patterns = (cell.strip("`") for cell in permissions)
        await asyncio.to_thread(own_rabbitmq.ctl, "set_permissions", name, *patterns)
        urls[name] = own_rabbitmq.url.replace("guest:guest", f"{name}:secret")
    async with leveret.connect(urls["server"]) as server, server.serving(Fibonacci()):
        async with leveret.connect(urls["client"]) as client:
            assert await client.remote(Fibonacci).fib(30) == 832040
            with pytest.raises(leveret.PermissionDenied, match="may not use the queue"):
                async with client.serving(Fibonacci()):
                    pass
        with BareClient(urls["client"]) as bare:
            assert (await asyncio.to_thread(bare.call, "fibonacci.fib", {"n": 30})).value == 832040
        with pytest.raises(leveret.PermissionDenied):
            async with server.serving(Desk()):
                pass


async def test_leverets_question_is_as_documented(rabbit: Rabbit, rabbitmq_url: str) -> None:
    (documented,) = [block for block in blocks(PROTOCOL, "json") if block.heading == "Ask"]
    call_ids = json.loads(documented.text)
    assert [len(call_id) for call_id in call_ids] == [16, 16]
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "leveret.control", "fibonacci")
        rabbit.calls.query(rabbit.calls.route("fibonacci.fib", NativeClient()), call_ids)
        asked: list[Any] = []

        def question_came() -> bool:
            asked[:] = channel.basic_get(queue, auto_ack=True)
            return asked[0] is not None

        await until(question_came, "the client asks")
    _, properties, body = asked
    assert (properties.type, properties.reply_to) == ("ask", rabbit.calls.reply_queue.name)
    assert json.loads(body) == call_ids
