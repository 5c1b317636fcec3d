"""docs/protocol.md is enough to write a client: such a client calls Leveret's server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pika
import pytest

from leveret import Rabbit
from tests.behaviour.patience import PATIENCE, until
from tests.docs.bare_client import BareClient, Outcome
from tests.docs.protocol_services import Desk, Fibonacci, Lone


async def call(bare: BareClient, key: str, arguments: dict[str, Any], **options: Any) -> Outcome:
    return await asyncio.to_thread(bare.call, key, arguments, **options)


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
    call_id = await asyncio.to_thread(bare.send, "desk.who", b"{}", metadata={"tenant": "Burrow"})
    outcome = await asyncio.to_thread(bare.wait, call_id, 5)
    assert outcome.value == {"caller": "bare", "id": call_id}
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


async def test_a_handler_that_takes_its_time_says_accepted(bare: BareClient, desk: Desk) -> None:
    call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    waiting = asyncio.create_task(asyncio.to_thread(bare.wait, call_id, PATIENCE))
    await until(lambda: bool(bare.accepted), "the server says accepted")
    desk.may_end.set()
    assert (await waiting).value == "waited"
    assert bare.accepted == [call_id]


async def test_a_new_server_asks_before_it_runs_what_waited(
    bare: BareClient, rabbit: Rabbit
) -> None:
    async with rabbit.serving(Desk()):
        pass
    given_up = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    pending = await asyncio.to_thread(bare.send, "desk.limit", b'{"n":1}', timeout=30)
    bare.give_up(given_up)
    desk = Desk()
    async with rabbit.serving(desk):
        assert (await asyncio.to_thread(bare.wait, pending, PATIENCE)).value == 2
        desk.may_end.set()
        assert (await call(bare, "desk.wait", {}, timeout=30)).value == "waited"
    assert desk.ran == 1
    assert bare.ignored == 1  # CANCELLED, for the call that was given up


async def test_a_draining_server_says_accepted_and_then_answers(
    bare: BareClient, rabbit: Rabbit
) -> None:
    desk = Desk()
    async with rabbit.serving(desk) as server:
        call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
        await desk.started.wait()
        draining = asyncio.create_task(server.drain())
        waiting = asyncio.create_task(asyncio.to_thread(bare.wait, call_id, PATIENCE))
        await until(lambda: bool(bare.accepted), "the server says accepted")
        assert not waiting.done()
        desk.may_end.set()
        assert (await waiting).value == "waited"
        assert bare.accepted == [call_id]
        await draining


async def test_a_draining_server_hands_back_what_it_has_not_begun(
    bare: BareClient, rabbit: Rabbit, rabbitmq_url: str
) -> None:
    lone = Lone()
    async with rabbit.serving(lone) as server:
        draining = asyncio.create_task(server.drain())
        for _ in range(100_000):
            if server.methods["lone.say"].draining:
                break
            await asyncio.sleep(0)
        # The server has stopped to take requests, and not told the broker yet. From here to the
        # next await its loop stands still, so the request is on its way to it before it can.
        call_id = bare.send("lone.say", b"{}", timeout=30, metadata={"tenant": "Burrow"})
        give_up = time.monotonic() + PATIENCE
        while bare.look("lone.say") != (0, 1):
            assert time.monotonic() < give_up, "the request never left its queue"
        await draining
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        taken, properties, body = channel.basic_get("leveret.lone.say")
        channel.queue_delete("leveret.lone.say")
    assert lone.ran == 0
    assert (taken.redelivered, taken.exchange, taken.routing_key) == (False, "leveret", "lone.say")
    assert (properties.type, properties.correlation_id, body) == ("call", call_id, b"{}")
    assert properties.reply_to == bare.reply_queue
    assert sorted(properties.headers) == ["CC", "deadline", "handed-back", "metadata"]
    assert 25_000 < int(properties.expiration) < 30_000
    assert bare.ignored == 0


async def test_a_server_that_is_asked_says_what_it_runs_and_repeats_its_reply(
    bare: BareClient, desk: Desk
) -> None:
    call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    waiting = asyncio.create_task(asyncio.to_thread(bare.wait, call_id, PATIENCE))
    await until(lambda: bool(bare.accepted), "the server says accepted")
    desk.may_end.set()
    assert (await waiting).value == "waited"
    bare.ask_after("desk", [call_id, "of no call"])
    await asyncio.to_thread(bare.ask, "ping")
    await asyncio.to_thread(bare.listen, 0.1)
    assert bare.ignored == 1


async def test_a_server_that_is_asked_says_accepted_once_more(bare: BareClient, desk: Desk) -> None:
    call_id = await asyncio.to_thread(bare.send, "desk.wait", b"{}", timeout=30)
    await desk.started.wait()
    for _ in range(2):
        bare.ask_after("desk", [call_id])
    waiting = asyncio.create_task(asyncio.to_thread(bare.wait, call_id, PATIENCE))
    await until(lambda: bare.accepted.count(call_id) >= 2, "the server says accepted twice")
    desk.may_end.set()
    assert (await waiting).value == "waited"
    assert bare.ignored == 0


async def test_a_request_with_a_key_that_is_known_is_answered_from_the_record(
    bare: BareClient, desk: Desk
) -> None:
    desk.may_end.set()
    for resent in (False, False, True):
        keyed = {"key_of_its_own": "order 17", "resent": resent}
        assert (await call(bare, "desk.wait", {}, **keyed)).value == "waited"
    assert desk.ran == 1


async def test_a_resent_request_with_a_key_that_is_not_known_is_not_run(
    bare: BareClient, desk: Desk
) -> None:
    outcome = await call(bare, "desk.wait", {}, key_of_its_own="order 17", resent=True)
    assert (outcome.code, outcome.executed) == ("ABORTED", "maybe")
    assert desk.ran == 0


async def test_a_request_that_was_redelivered_too_often_is_given_up(
    bare: BareClient, rabbit: Rabbit, rabbitmq_url: str
) -> None:
    async with rabbit.serving(Fibonacci()):
        pass
    call_id = await asyncio.to_thread(bare.send, "fibonacci.fib", b'{"n":9}', attempt=5)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as dying:
        assert dying.channel().basic_get("leveret.fibonacci.fib")[0] is not None
    async with rabbit.serving(Fibonacci()):
        outcome = await asyncio.to_thread(bare.wait, call_id, 5)
        assert (outcome.code, outcome.executed) == ("ABORTED", "maybe")
        assert bare.look("fibonacci.fib")[0] == 0
