"""docs/protocol.md is right, and enough: a client and a server written from it meet Leveret's."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated, Any

import pika
import pytest
from msgspec import Struct

import leveret
from leveret import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    MaybeExecuted,
    Meta,
    NoServer,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.testing import RabbitMQ
from leveret.wire.native import RequestTemplate, ReplyTemplate
from tests.docs.bare_client import BareClient, Outcome
from tests.docs.bare_server import BareServer
from tests.docs.bare_server import DeclaredError as BareDeclaredError
from tests.docs.bare_server import Method as BareMethod
from tests.docs.fences import blocks, table

PROTOCOL = "docs/protocol.md"
PATIENCE = 15.0


class TooLarge(DeclaredError):
    """That is too much."""

    limit: int


class Point(Struct):
    x: int
    y: int = 0


class Fibonacci(Service):
    """Fibonacci numbers."""

    @method(timeout=5, idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        """Return the n-th Fibonacci number."""
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


class Desk(Service):
    """Says what the protocol is about to say."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ran = 0

    @method(raises=[TooLarge])
    async def limit(self, n: int, step: int = 1) -> int:
        if n > 9:
            raise TooLarge(limit=9)
        return n + step

    @method(timeout=30, concurrency=1)
    async def wait(self) -> str:
        self.ran += 1
        self.started.set()
        await self.may_end.wait()
        return "waited"

    @method(timeout=30, max_length=1)
    async def short(self) -> None: ...

    @method(timeout=30, max_length=1, queue="quorum")
    async def short_quorum(self) -> None: ...

    @method
    async def fail(self) -> None:
        raise KeyError("carrot")

    @method
    async def swap(self, point: Point) -> Point:
        return Point(point.y, point.x)

    @method
    async def echo(self, data: bytes) -> bytes:
        return data

    @method
    async def who(self) -> dict[str, str]:
        call = current_call()
        call.reply_metadata["seen"] = call.metadata["tenant"]
        return {"caller": call.caller, "id": call.id}


@pytest.fixture
def bare(rabbitmq_url: str) -> Iterator[BareClient]:
    with BareClient(rabbitmq_url, name="bare") as client:
        yield client


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url) as connected:
        yield connected


@pytest.fixture
async def desk(rabbit: Rabbit) -> AsyncIterator[Desk]:
    """A desk that Leveret serves."""
    served = Desk()
    async with rabbit.serving(served, Fibonacci()):
        yield served
        served.may_end.set()


@pytest.fixture(autouse=True)
def clean_shared_vhost(rabbitmq: RabbitMQ) -> Iterator[None]:
    """Where all tests share one vhost (see tests/conftest.py), delete the queues of this one."""
    yield
    if not rabbitmq.owned:
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
        for service in (Desk, Fibonacci):
            for spec in service.__leveret__.methods.values():
                connection.channel().queue_delete(spec.queue_name)
        connection.close()


async def call(bare: BareClient, key: str, arguments: dict[str, Any], **options: Any) -> Outcome:
    return await asyncio.to_thread(bare.call, key, arguments, **options)


# -- a client from the document, Leveret's server --------------------------------------------------


async def test_a_bare_client_gets_a_result(bare: BareClient, desk: Desk) -> None:
    outcome = await call(bare, "fibonacci.fib", {"n": 30})
    assert (outcome.body, outcome.content_type) == (b"832040", "application/json")
    assert (await call(bare, "desk.limit", {"n": 1})).value == 2
    assert (await call(bare, "desk.limit", {"n": 1, "step": 5})).value == 6
    assert (await call(bare, "desk.swap", {"point": {"x": 1}})).value == {"x": 0, "y": 1}


@pytest.mark.parametrize(
    ("key", "content_type", "arguments", "result"),
    [
        ("fibonacci.fib", "application/json", b'{"n":30}', b"832040"),
        ("fibonacci.fib", "Application/JSON; charset=UTF-8", b'{"n":30}', b"832040"),
        ("fibonacci.fib", "text/json", b'{"n":30}', b"832040"),
        ("fibonacci.fib", "application/msgpack", b"\x81\xa1n\x1e", b"\xce\x00\x0c\xb2\x28"),
        ("fibonacci.fib", "application/x-msgpack", b"\x81\xa1n\x1e", b"\xce\x00\x0c\xb2\x28"),
        ("fibonacci.fib", "text/plain", b" 30\n", b"832040"),
        ("desk.echo", "application/json", b'{"data":"AP8="}', b'"AP8="'),
        ("desk.echo", "application/octet-stream", b"\x00\xff", b"\x00\xff"),
        ("desk.short", "application/json", b"{}", b"null"),
    ],
)
async def test_a_bare_client_sends_each_content_type(
    bare: BareClient, desk: Desk, key: str, content_type: str, arguments: bytes, result: bytes
) -> None:
    call_id = await asyncio.to_thread(bare.send, key, arguments, content_type=content_type)
    outcome = await asyncio.to_thread(bare.wait, call_id, 5)
    assert (outcome.code, outcome.body) == ("", result)
    normal = content_type.partition(";")[0].lower().replace("text/json", "application/json")
    assert outcome.content_type == normal.replace("x-msgpack", "msgpack")


async def test_a_bare_client_is_told_what_is_wrong(bare: BareClient, desk: Desk) -> None:
    wrong = await call(bare, "fibonacci.fib", {"n": -1})
    assert (wrong.code, wrong.executed, wrong.type) == ("INVALID_ARGUMENT", "no", "InvalidArgument")
    unknown = await call(bare, "fibonacci.fib", {"n": 1, "m": 2})
    assert (unknown.code, unknown.executed) == ("INVALID_ARGUMENT", "no")
    yaml = await asyncio.to_thread(bare.send, "fibonacci.fib", b"n: 1", content_type="text/yaml")
    assert (await asyncio.to_thread(bare.wait, yaml, 5)).code == "INVALID_ARGUMENT"
    declared = await call(bare, "desk.limit", {"n": 10})
    assert (declared.code, declared.executed, declared.data) == ("TOO_LARGE", "yes", {"limit": 9})
    raised = await call(bare, "desk.fail", {})
    assert (raised.code, raised.executed, raised.type) == ("INTERNAL", "yes", "KeyError")
    assert raised.message == "'carrot'"


async def test_metadata_and_the_callers_name_travel_both_ways(bare: BareClient, desk: Desk) -> None:
    outcome = await call(bare, "desk.who", {}, metadata={"tenant": "Burrow"})
    assert outcome.value == {"caller": "bare", "id": "call-0"}
    assert outcome.metadata == {"seen": "Burrow"}


async def test_a_bare_client_learns_that_there_is_no_such_method(
    bare: BareClient, desk: Desk
) -> None:
    outcome = await call(bare, "desk.fly", {}, timeout=60)
    assert (outcome.code, outcome.executed) == ("UNIMPLEMENTED", "no")


async def test_requests_bounce_when_nobody_takes_them(bare: BareClient, rabbit: Rabbit) -> None:
    async with rabbit.serving(Desk()):
        pass
    late = await call(bare, "desk.wait", {}, timeout=0.2)
    assert (late.code, late.executed, late.where) == ("DEADLINE_EXCEEDED", "no", "queue")
    nobody = await call(bare, "desk.wait", {}, timeout=30, unless_busy=True)
    assert (nobody.code, nobody.executed) == ("UNAVAILABLE", "no")
    await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=60)
    assert bare.look("desk.wait") == (1, 0)


async def test_a_request_that_must_not_wait_bounces_when_all_are_busy(
    bare: BareClient, desk: Desk
) -> None:
    await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    await desk.started.wait()
    outcome = await call(bare, "desk.wait", {}, timeout=30, unless_busy=True)
    assert (outcome.code, outcome.executed) == ("RESOURCE_EXHAUSTED", "no")
    assert desk.ran == 1


@pytest.mark.parametrize("name", ["short", "short_quorum"])
async def test_a_full_queue_is_told(bare: BareClient, rabbit: Rabbit, name: str) -> None:
    async with rabbit.serving(Desk()):
        pass
    outcome = Outcome()
    for _ in range(5):  # a quorum queue may take one or two more than its length
        call_id = await asyncio.to_thread(bare.send, f"desk.{name}", b"{}", timeout=60)
        outcome = await asyncio.to_thread(bare.wait, call_id, 0)
        if outcome.code == "RESOURCE_EXHAUSTED":
            break
    assert (outcome.code, outcome.executed) == ("RESOURCE_EXHAUSTED", "no")


async def test_a_rejected_request_bounces(
    bare: BareClient, rabbit: Rabbit, rabbitmq_url: str
) -> None:
    async with rabbit.serving(Desk()):
        pass
    call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        taken, properties, _ = channel.basic_get("leveret.desk.wait")
        assert list(properties.headers) == ["CC", "deadline"]
        channel.basic_reject(taken.delivery_tag, requeue=False)
    outcome = await asyncio.to_thread(bare.wait, call_id, 5)
    assert (outcome.code, outcome.executed, outcome.message) == ("ABORTED", "maybe", "rejected")


async def test_a_redelivered_request_is_run_again_only_where_that_does_no_harm(
    bare: BareClient, rabbit: Rabbit, rabbitmq_url: str
) -> None:
    async with rabbit.serving(Desk(), Fibonacci()):
        pass
    dangerous = await asyncio.to_thread(bare.send, "desk.swap", b'{"point":{"x":1}}')
    harmless = await asyncio.to_thread(bare.send, "fibonacci.fib", b'{"n":9}')
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as dying:
        for queue in ("leveret.desk.swap", "leveret.fibonacci.fib"):
            assert dying.channel().basic_get(queue)[0] is not None
    async with rabbit.serving(Desk(), Fibonacci()):
        outcome = await asyncio.to_thread(bare.wait, dangerous, 5)
        assert (outcome.code, outcome.executed) == ("ABORTED", "maybe")
        assert (await asyncio.to_thread(bare.wait, harmless, 5)).value == 34


async def test_the_deadline_ends_the_handler(bare: BareClient, desk: Desk) -> None:
    outcome = await call(bare, "desk.wait", {}, timeout=0.3)
    assert (outcome.code, outcome.executed, outcome.where) == (
        "DEADLINE_EXCEEDED",
        "yes",
        "handler",
    )


async def test_a_cancel_ends_the_handler(bare: BareClient, desk: Desk) -> None:
    call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    await desk.started.wait()
    await asyncio.to_thread(bare.cancel, "desk.wait", call_id, 30)
    outcome = await asyncio.to_thread(bare.wait, call_id, PATIENCE)
    assert (outcome.code, outcome.executed) == ("CANCELLED", "maybe")


async def test_a_cancel_that_overtakes_its_request_is_remembered(
    bare: BareClient, desk: Desk
) -> None:
    first = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    await desk.started.wait()
    second = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    await asyncio.to_thread(bare.cancel, "desk.wait", second, 30)
    await asyncio.to_thread(bare.ask, "ping")  # so the cancel has arrived before the handler ends
    desk.may_end.set()
    assert (await asyncio.to_thread(bare.wait, first, PATIENCE)).value == "waited"
    outcome = await asyncio.to_thread(bare.wait, second, PATIENCE)
    assert (outcome.code, outcome.executed) == ("CANCELLED", "no")
    assert desk.ran == 1


async def test_a_draining_server_says_accepted_and_then_answers(
    bare: BareClient, rabbit: Rabbit
) -> None:
    desk = Desk()
    async with rabbit.serving(desk) as server:
        call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
        await desk.started.wait()
        draining = asyncio.create_task(server.drain())
        waiting = asyncio.create_task(asyncio.to_thread(bare.wait, call_id, PATIENCE))
        while not bare.accepted:
            await asyncio.sleep(0.005)
        assert not waiting.done()
        desk.may_end.set()
        assert (await waiting).value == "waited"
        assert bare.accepted == [call_id]
        await draining


async def test_a_draining_server_hands_back_what_it_has_not_begun(
    bare: BareClient, rabbit: Rabbit, rabbitmq_url: str
) -> None:
    desk = Desk()
    async with rabbit.serving(desk) as server:
        # In the server's own thread, so that it cannot read the delivery before it drains.
        call_id = bare.send("desk.wait", b"{}", timeout=30, metadata={"tenant": "Burrow"})
        give_up = time.monotonic() + PATIENCE
        while bare.look("desk.wait") != (0, 1):
            assert time.monotonic() < give_up, "the request never left its queue"
        await server.drain()
    assert desk.ran == 0
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        taken, properties, body = connection.channel().basic_get("leveret.desk.wait")
    assert (taken.redelivered, taken.exchange, taken.routing_key) == (False, "leveret", "desk.wait")
    assert (properties.type, properties.correlation_id, body) == ("call", call_id, b"{}")
    assert properties.reply_to == bare.reply_queue
    assert sorted(properties.headers) == ["CC", "deadline", "metadata"]
    assert 25_000 < int(properties.expiration) < 30_000
    assert bare.ignored == 0


async def test_control_messages_are_answered_as_documented(bare: BareClient, rabbit: Rabbit) -> None:
    async with rabbit.serving(Fibonacci()):
        assert (await call(bare, "fibonacci.fib", {"n": 30})).value == 832040
        ping = await asyncio.to_thread(bare.ask, "ping")
        for kind, block in zip(("ping", "info", "stats"), blocks(PROTOCOL, "json"), strict=True):
            documented = json.loads(block.text)
            answer = await asyncio.to_thread(bare.ask, kind, f"fibonacci.{ping['instance']}")
            assert answer.keys() == documented.keys()
            for varying in ("instance", "name", "uptime"):
                assert type(answer.pop(varying, None)) is type(documented.pop(varying, None))
            assert answer == documented, f"{block.name} shows another answer to {kind}"


# -- Leveret's client, a server from the document --------------------------------------------------


class Board(Service):
    """What the bare server serves, as its callers see it."""

    @method(timeout=5, raises=[TooLarge])
    async def double(self, n: int) -> int: ...

    @method(timeout=30)
    async def wait(self) -> str: ...

    @method(timeout=30, idempotent=True)
    async def again(self) -> str: ...


class Hand:
    """The bare server's handlers; those that wait do so until `may_end` is set."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.ran = 0

    def double(self, n: int) -> int:
        if n > 100:
            raise BareDeclaredError("TOO_LARGE", "too much", limit=100)
        if n < 0:
            raise ValueError("no carrots")
        return 2 * n

    def wait(self) -> str:
        self.ran += 1
        self.started.release()
        self.may_end.wait(PATIENCE)
        return "waited"

    async def has_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=PATIENCE)

    @property
    def methods(self) -> dict[str, BareMethod]:
        return {
            "double": BareMethod(handler=self.double, parameters={"n": int}),
            "wait": BareMethod(handler=self.wait, concurrency=1),
            "again": BareMethod(handler=self.wait, concurrency=1, idempotent=True),
        }


@pytest.fixture
def hand() -> Iterator[Hand]:
    made = Hand()
    yield made
    made.may_end.set()


@pytest.fixture
def server(rabbitmq_url: str, hand: Hand) -> Iterator[BareServer]:
    with BareServer(rabbitmq_url, "board", hand.methods) as served:
        yield served
        hand.may_end.set()
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    for name in hand.methods:
        connection.channel().queue_delete(f"leveret.board.{name}")
    connection.close()


async def test_leverets_client_calls_a_bare_server(rabbit: Rabbit, server: BareServer) -> None:
    board = rabbit.remote(Board)
    assert await asyncio.gather(*(board.double(n) for n in range(50))) == list(range(0, 100, 2))
    back: dict[str, str] = {}
    marked = board.with_options(metadata={"tenant": "Burrow"}, reply_metadata=back)
    assert await marked.double(4) == 8
    assert back == {"tenant": "Burrow"}


async def test_a_bare_servers_errors_arrive(rabbit: Rabbit, server: BareServer) -> None:
    board = rabbit.remote(Board)
    with pytest.raises(TooLarge) as declared:
        await board.double(101)
    assert (declared.value.limit, declared.value.executed) == (100, "yes")
    with pytest.raises(RemoteError, match="ValueError: no carrots") as raised:
        await board.double(-1)
    assert raised.value.executed == "yes"
    with pytest.raises(InvalidArgument, match="missing or unknown") as refused:
        await rabbit.call("board.double", m=1)
    assert refused.value.executed == "no"


async def test_a_bare_server_keeps_the_deadline(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await rabbit.remote(Board).with_options(timeout=0.3).wait()
    assert (caught.value.where, caught.value.executed) == ("handler", "yes")


async def test_leverets_client_understands_a_busy_bare_server(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board)
    running = asyncio.create_task(board.wait())
    await hand.has_started()
    with pytest.raises(Busy):
        await board.with_options(if_busy="fail").wait()
    with pytest.raises(DeadlineExceeded) as caught:
        await board.with_options(timeout=0.3).wait()
    assert caught.value.where == "queue"
    hand.may_end.set()
    assert await running == "waited"
    assert hand.ran == 1


async def test_leverets_client_tells_a_bare_server_of_its_cancels(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board)
    running, queued = (asyncio.create_task(board.wait()) for _ in range(2))
    await hand.has_started()
    queued.cancel()
    await asyncio.wait([queued])
    while not server.controlled:
        await asyncio.sleep(0.005)
    kind, properties = server.controlled[0]
    assert (kind, properties.expiration) == ("cancel", "30000")
    assert properties.reply_to.startswith("leveret.reply.")
    hand.may_end.set()
    assert await running == "waited"
    assert await board.double(1) == 2
    assert hand.ran == 1


async def test_a_bare_server_obeys_the_rule_of_redelivery(
    rabbit: Rabbit, rabbitmq_url: str, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board).with_options(wait_for_server=True)
    server.do(server.drain)
    calls = asyncio.gather(board.wait(), board.again(), return_exceptions=True)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as dying:
        for queue in ("leveret.board.wait", "leveret.board.again"):
            while dying.channel().basic_get(queue)[0] is None:
                await asyncio.sleep(0.005)
    hand.may_end.set()
    with BareServer(rabbitmq_url, "board", hand.methods):
        ended, again = await calls
    assert isinstance(ended, MaybeExecuted)
    assert ended.executed == "maybe"
    assert again == "waited"


async def test_leverets_client_waits_for_a_bare_server_that_has_accepted(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    call = asyncio.create_task(rabbit.remote(Board).wait())
    await hand.has_started()
    server.do(server.drain)
    with pytest.raises(NoServer):  # its own request waits, and nobody listens
        await rabbit.remote(Board).wait()
    assert not call.done()
    hand.may_end.set()
    assert await call == "waited"


async def test_leverets_server_and_a_bare_one_share_a_queue(
    rabbit: Rabbit, server: BareServer
) -> None:
    class Double(Service, name="board"):
        def __init__(self) -> None:
            self.ran = 0

        @method
        async def double(self, n: int) -> int:
            self.ran += 1
            return 2 * n

    ours = Double()
    async with rabbit.serving(ours):
        board = rabbit.remote(Board)
        assert await asyncio.gather(*(board.double(n) for n in range(40))) == [
            2 * n for n in range(40)
        ]
    assert 0 < ours.ran < 40


async def test_a_cancelled_reply_is_a_cancelled_call(rabbit: Rabbit, rabbitmq_url: str) -> None:
    def cancel() -> None:
        raise BareDeclaredError("CANCELLED", "by itself")

    with BareServer(rabbitmq_url, "board", {"double": BareMethod(handler=cancel)}):
        with pytest.raises(Cancelled):
            await rabbit.call("board.double")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        connection.channel().queue_delete("leveret.board.double")
    with pytest.raises(Unimplemented):
        await rabbit.call("board.double")


# -- what the document says in tables and bytes ----------------------------------------------------


def documented_bytes(number: int) -> bytes:
    """The bytes of a hex block, without their comments."""
    block = blocks(PROTOCOL, "hex")[number]
    return bytes.fromhex("".join(line.partition("#")[0] for line in block.text.splitlines()))


def test_the_request_byte_by_byte_is_what_leveret_sends() -> None:
    template = RequestTemplate(
        channel=1,
        frame_max=131_072,
        key="fibonacci.fib",
        content_type="application/json",
        reply_queue="leveret.reply." + 32 * "0",
    )
    assert template.pack(b"1f", 1_750_000_005_000, 5000, b'{"n":30}') == documented_bytes(0)


def test_the_reply_byte_by_byte_is_what_leveret_sends() -> None:
    template = ReplyTemplate(
        channel=1,
        frame_max=131_072,
        reply_to="leveret.reply." + 32 * "0",
        content_type="application/json",
        kind="result",
    )
    assert template.pack(b"1f", b"832040") == documented_bytes(1)


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
    documented = {row[0].strip("`") for row in table(PROTOCOL, "Exchanges and queues")}
    assert documented

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
async def test_a_server_reckons_the_time_left_as_documented(
    rabbit: Rabbit, deadline: float | None, expiration: str | None, least: float, most: float
) -> None:
    from leveret.amqp.events import Delivery
    from leveret.amqp.properties import Properties

    class Clock(Service):
        @method(timeout=100)
        async def left(self) -> float: ...

    async with rabbit.serving(Clock()) as server:
        now = time.time()
        headers = {} if deadline is None else {"deadline": int((now + deadline) * 1000)}
        properties = Properties(headers=headers or None, expiration=expiration)
        delivery = Delivery(1, "", 1, False, "leveret", "clock.left", properties, b"{}", 2)
        assert least < server.consumers[0]._remaining(delivery, now) <= most


async def test_the_documented_permissions_are_enough(own_rabbitmq: RabbitMQ) -> None:
    run = partial(asyncio.to_thread, own_rabbitmq.ctl)
    async with leveret.connect(own_rabbitmq.url) as operator, operator.serving(Fibonacci()):
        pass  # the exchanges exist now
    urls = {}
    for who, *permissions in table(PROTOCOL, "Permissions"):
        name = who.split()[0]
        await run("add_user", name, "secret")
        await run("set_permissions", name, *(cell.strip("`") for cell in permissions))
        urls[name] = own_rabbitmq.url.replace("guest:guest", f"{name}:secret")
    async with leveret.connect(urls["server"]) as server, server.serving(Fibonacci()):
        async with leveret.connect(urls["client"]) as client:
            assert await client.remote(Fibonacci).fib(30) == 832040
            with pytest.raises(leveret.PermissionDenied, match="may not use the queue"):
                async with client.serving(Fibonacci()):
                    pass
        with BareClient(urls["client"]) as bare:
            assert (await call(bare, "fibonacci.fib", {"n": 30})).value == 832040
        with pytest.raises(leveret.PermissionDenied):
            async with server.serving(Desk()):
                pass
