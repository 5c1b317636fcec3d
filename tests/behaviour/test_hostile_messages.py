"""Messages that are made to do harm: each is refused or ignored, and the next call is served."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import traceback
from typing import Any, Final

import pytest

import leveret
from leveret import (
    CallError,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    Rabbit,
    RemoteError,
    Service,
    method,
)
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from tests.behaviour.patience import PATIENCE, at_once, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

NOT_UTF8: Final = b"\xff\xfe\xc3\x28".decode("utf-8", "surrogateescape")
DEEP: Final = 100_000


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int = 0


class Target(Service):
    """Takes whatever can be taken."""

    def __init__(self) -> None:
        self.ran = 0

    @method
    async def anything(self, value: Any) -> Any:
        self.ran += 1
        return value

    @method
    async def numbers(self, value: list[int]) -> int:
        self.ran += 1
        return len(value)

    @method
    async def names(self, value: dict[str, int]) -> int:
        self.ran += 1
        return len(value)

    @method(content_type="application/msgpack")
    async def blob(self, value: bytes) -> int:
        self.ran += 1
        return len(value)

    @method(raises=[OutOfStock])
    async def buy(self, sku: str) -> str:
        self.ran += 1
        return sku

    @method
    async def fail(self) -> None:
        password = "hunter2"
        self.ran += len(password)
        raise ValueError("something went wrong")


METHODS: Final = ("anything", "numbers", "names", "blob")


async def is_well(raw: RawPeer) -> None:
    """A server that has met something bad serves the next request."""
    raw.request("target.anything", b'{"value": "well"}', correlation_id="well")
    reply = await raw.reply()
    assert (reply.properties.correlation_id, reply.body) == ("well", b'"well"')


# -- requests: bodies ------------------------------------------------------------------------------


async def test_a_body_above_the_limit_is_never_decoded(rabbitmq_url: str, raw: RawPeer) -> None:
    await raw.listen()
    target = Target()
    async with (
        leveret.connect(rabbitmq_url, max_message_size=1_000) as host,
        host.serving(target),
    ):
        for body in (b"[" * 1_001, b'{"value": "' + b"x" * 5_000_000 + b'"}'):
            raw.request("target.anything", body)
            failure = await raw.failure()
            assert failure["code"] == "RESOURCE_EXHAUSTED"  # not INVALID_ARGUMENT
            assert failure["executed"] == "no"
            assert f"{len(body)} bytes" in failure["message"]
        assert target.ran == 0
        await is_well(raw)


DEEP_BODIES: Final = [
    ("application/json", b'{"value": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ("application/json", b'{"value": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}"),
    ("application/json", b'{"unknown": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ("application/json", b"[" * DEEP),
    ("application/msgpack", b"\x81\xa5value" + b"\x91" * DEEP + b"\xc0"),
    ("application/msgpack", b"\x81\xa5value" + b"\x81\xa1a" * DEEP + b"\xc0"),
    ("application/msgpack", b"\x81\xa7unknown" + b"\x91" * DEEP + b"\xc0"),
    ("application/msgpack", b"\x91" * DEEP),
]


@pytest.mark.parametrize("number", range(len(DEEP_BODIES)))
async def test_what_nests_too_deep_is_refused(host: Rabbit, raw: RawPeer, number: int) -> None:
    content_type, body = DEEP_BODIES[number]
    await raw.listen()
    target = Target()
    async with host.serving(target):
        for name in METHODS:
            raw.request(f"target.{name}", body, content_type=content_type)
            failure = await raw.failure()
            assert (failure["code"], failure["executed"]) == ("INVALID_ARGUMENT", "no")
        assert target.ran == 0
        await is_well(raw)


async def test_at_any_depth_a_request_is_answered_once(host: Rabbit, raw: RawPeer) -> None:
    """Somewhere the decoder still takes what the encoder does not."""
    await raw.listen()
    async with host.serving(Target()):
        for depth in (10, 100, 500, 900, 950, 980, 990, 1_000, 1_010, 1_100, 2_000):
            body = b'{"value": ' + b"[" * depth + b"]" * depth + b"}"
            raw.request("target.anything", body, correlation_id=str(depth))
            reply = await raw.reply()
            assert reply.properties.correlation_id == str(depth)
            assert reply.properties.type in {"result", "error"}
        await is_well(raw)


LYING_LENGTHS: Final = [
    b"\x81\xa5value" + marker + b"\xff\xff\xff\xff"
    for marker in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")
] + [b"\xdf\xff\xff\xff\xff", b"\x81\xdb\xff\xff\xff\xff", b"\x81\xa5value\xdc\xff\xff"]


@pytest.mark.parametrize("number", range(len(LYING_LENGTHS)))
async def test_a_few_bytes_that_announce_billions_take_no_memory(
    host: Rabbit, raw: RawPeer, number: int
) -> None:
    await raw.listen()
    target = Target()
    async with host.serving(target):
        for name in METHODS:
            body = LYING_LENGTHS[number]
            raw.request(f"target.{name}", body, content_type="application/msgpack")
            async with at_once():
                assert (await raw.failure())["code"] == "INVALID_ARGUMENT"
        assert target.ran == 0
        await is_well(raw)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b'{"value": "' + b"0" * 10_000_000 + b'"}', mtime=0)),
        ("gzip", b'{"value": 1}'),
        ("deflate", b'{"value": 1}'),
        ("BR", b'{"value": 1}'),
        ("zstd, gzip", b'{"value": 1}'),
        (NOT_UTF8, b'{"value": 1}'),
    ],
)
async def test_a_compressed_body_is_refused_and_never_decompressed(
    host: Rabbit, raw: RawPeer, encoding: str, body: bytes
) -> None:
    await raw.listen()
    target = Target()
    async with host.serving(target):
        raw.request("target.anything", body, content_encoding=encoding)
        failure = await raw.failure()
        assert (failure["code"], failure["executed"]) == ("INVALID_ARGUMENT", "no")
        assert "bodies are never compressed" in failure["message"]
        assert target.ran == 0
        await is_well(raw)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "identity", "binary", ""])
async def test_an_encoding_that_is_none_does_no_harm(
    host: Rabbit, raw: RawPeer, encoding: str
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        raw.request("target.anything", b'{"value": 1}', content_encoding=encoding)
        assert (await raw.reply()).body == b"1"


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 100_000,
        b"-" + b"9" * 5_000,
        b"1e999999",
        b"0." + b"1" * 100_000,
        b'"\\ud800"',
        b'"\xff"',
        b'"' + b"\\u0000" * 1_000 + b'"',
    ],
)
async def test_odd_values_are_taken_or_refused_at_once(
    host: Rabbit, raw: RawPeer, value: bytes
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        raw.request("target.anything", b'{"value": ' + value + b"}")
        async with at_once():
            assert (await raw.reply()).properties.type in {"result", "error"}
        await is_well(raw)


# -- requests: properties --------------------------------------------------------------------------


def nested(depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(depth):
        table = {"t": table, "l": [table]} if depth < 12 else {"t": table}
    return table


HEADERS: Final[list[dict[str, Any]]] = [
    {f"header-{n}": "x" for n in range(4_000)},
    {"one": "x" * 100_000},
    nested(10),
    nested(100),
    {"metadata": {f"name-{n}": "x" for n in range(4_000)}},
    {"metadata": nested(50)},
    {"metadata": 7},
    {"metadata": ["a", "b"]},
    {"metadata": {"number": 1, "none": None, "list": ["x"], "bytes": bytearray(b"\xff")}},
    {"metadata": {"not-utf8": bytearray(b"\xff\xfe")}},
    {"deadline": "soon"},
    {"deadline": {"at": 1}},
    {"deadline": None},
    {"deadline": 2**63 - 1},
    {"attempt": "many"},
    {"attempt": -(2**40)},
    {"x-delivery-count": "many"},
    {"on-behalf-of": nested(20)},
    {"idempotency-key": {"key": 1}},
    {"idempotency-key": "k" * 100_000},
    {"x-death": [{"reason": {"deep": 1}}]},
    {"traceparent": ["00"]},
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
async def test_headers_of_any_size_and_kind_do_no_harm(
    host: Rabbit, raw: RawPeer, number: int
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        raw.request("target.anything", b'{"value": 1}', headers=HEADERS[number])
        reply = await raw.reply()
        assert reply.properties.type in {"result", "error"}
        await is_well(raw)


@pytest.mark.parametrize(
    "properties",
    [
        {"content_type": NOT_UTF8},
        {"correlation_id": NOT_UTF8},
        {"message_id": NOT_UTF8},
        {"type": NOT_UTF8},
        {"app_id": NOT_UTF8},
        {"cluster_id": NOT_UTF8},
        {"headers": {NOT_UTF8.encode("utf-8", "replace").decode(): "x"}},
        {"type": "result"},
        {"type": "error"},
        {"type": "claim"},
        {"type": ""},
        {"priority": 255},
        {"timestamp": 2**64 - 1},
        {"app_id": "a" * 255, "message_id": "m" * 255, "type": "t" * 255},
    ],
)
async def test_properties_of_any_kind_do_no_harm(
    host: Rabbit, raw: RawPeer, properties: dict[str, Any]
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        raw.request("target.anything", b'{"value": 1}', **properties)
        reply = await raw.reply()
        wanted = properties.get("correlation_id", "raw-1")
        assert reply.properties.correlation_id == wanted
        await is_well(raw)


@pytest.mark.parametrize(
    "reply_to",
    [NOT_UTF8, "", "nowhere", "n" * 255, "leveret.target.anything", "leveret.target.fail"],
)
async def test_a_reply_to_that_leads_nowhere_or_back_does_no_harm(
    host: Rabbit, raw: RawPeer, reply_to: str
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        for body in (b'{"value": 1}', b"no json"):
            raw.request("target.anything", body, reply_to=reply_to)
        await is_well(raw)


async def test_control_messages_of_any_kind_do_no_harm(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    async with host.serving(Target()):
        for kind in ("cancel", "go", "ask", "info", "stats", "ping", "strange", NOT_UTF8):
            for properties in (
                {"reply_to": None, "correlation_id": None},
                {"reply_to": NOT_UTF8, "correlation_id": NOT_UTF8},
                {"reply_to": "nowhere", "correlation_id": "x" * 255},
                {"reply_to": "nowhere", "headers": nested(100)},
                {"reply_to": "nowhere", "expiration": "4294967295"},
            ):
                raw.control("all", kind, **properties)
        await is_well(raw)


async def test_a_cancel_that_names_no_call_stops_none(host: Rabbit, raw: RawPeer) -> None:
    """Requests without an id have no name in common."""
    gate = Gate()
    async with host.serving(gate) as server:
        raw.request("gate.once", b'{"n":1}', reply_to=None, correlation_id=None)
        assert await gate.started.get() == 1
        raw.control("gate", "cancel", reply_to=None, correlation_id=None)
        await raw.listen()
        raw.control("gate", "ping")
        await raw.reply()  # so the cancel was read
        assert not gate.cancelled
        assert not server.early_cancels
        gate.opened.set()


# -- errors tell what they are meant to tell -------------------------------------------------------


async def test_an_error_reply_reveals_no_traceback_and_no_variables(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Target()):
        raw.request("target.fail", b"{}")
        body = (await raw.reply()).body or b""
        assert json.loads(body) == {
            "code": "INTERNAL",
            "message": "something went wrong",
            "executed": "yes",
            "type": "ValueError",
        }
        with pytest.raises(RemoteError) as caught:
            await client.remote(Target).fail()
        assert caught.value.remote_traceback == ""


async def test_a_traceback_that_is_sent_has_no_variables(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Target(), send_tracebacks=True):
        with pytest.raises(RemoteError) as caught:
            await client.remote(Target).fail()
    lines = caught.value.remote_traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: something went wrong"
    assert "hunter2" not in caught.value.remote_traceback


# -- replies ---------------------------------------------------------------------------------------


@pytest.fixture
async def requests(host: Rabbit, raw: RawPeer) -> asyncio.Queue[Delivery]:
    """What a server gets that is not Leveret's, and answers as it likes."""
    async with host.serving(Target()):
        pass
    return await raw.take("leveret.target.buy")


async def answered(
    client: Rabbit,
    raw: RawPeer,
    requests: asyncio.Queue[Delivery],
    body: bytes,
    **properties: Any,
) -> Any:
    """What a call gives that is answered like this."""
    call = asyncio.create_task(client.remote(Target).buy("tea"))
    try:
        async with asyncio.timeout(PATIENCE):
            raw.answer(await requests.get(), body, **properties)
            return await call
    finally:
        call.cancel()


async def client_is_well(client: Rabbit, raw: RawPeer, requests: asyncio.Queue[Delivery]) -> None:
    assert await answered(client, raw, requests, b'"well"') == "well"
    assert client.in_flight == 0


def error(**fields: Any) -> bytes:
    return json.dumps({"code": "INTERNAL", "message": "m", **fields}).encode()


@pytest.mark.parametrize(
    ("body", "code", "kind"),
    [
        (error(code="OUT_OF_CASH", type="OutOfCash"), "OUT_OF_CASH", RemoteError),
        (error(code="SystemExit", type="SystemExit"), "SystemExit", RemoteError),
        (error(type="builtins.KeyboardInterrupt"), "INTERNAL", RemoteError),
        (error(type="leveret.errors.ContractError"), "INTERNAL", RemoteError),
        (error(code="ContractError"), "ContractError", RemoteError),
        (error(code="__class__", data={"__class__": "x"}), "__class__", RemoteError),
        (error(code="OUT_OF_STOCK", data={"sku": 7}), "OUT_OF_STOCK", CallError),
        (error(code="OUT_OF_STOCK", data={"left": "x"}), "OUT_OF_STOCK", RemoteError),
        (error(code="OUT_OF_STOCK", data={"sku": {"a": []}}), "OUT_OF_STOCK", RemoteError),
        (error(code="OUT_OF_STOCK"), "OUT_OF_STOCK", RemoteError),
        (error(code=""), "", RemoteError),
        (error(message="x" * 1_000_000), "INTERNAL", RemoteError),
        (error(traceback="T" * 1_000_000), "INTERNAL", RemoteError),
        (error(executed="perhaps"), "INTERNAL", InvalidResult),
        (error(code=7), "INTERNAL", InvalidResult),
        (error(data=[1]), "INTERNAL", InvalidResult),
        (error(where="nowhere"), "INTERNAL", InvalidResult),
        (error(retry_after="soon"), "INTERNAL", InvalidResult),
        (b"", "INTERNAL", InvalidResult),
        (b"no json", "INTERNAL", InvalidResult),
        (b"\xff\xfe", "INTERNAL", InvalidResult),
        (b"[" * DEEP, "INTERNAL", InvalidResult),
        (b'{"code":"X","message":"m","data":{"a":' + b"[" * DEEP, "INTERNAL", InvalidResult),
    ],
)
async def test_an_error_is_never_more_than_an_error_of_the_call(
    client: Rabbit,
    raw: RawPeer,
    requests: asyncio.Queue[Delivery],
    body: bytes,
    code: str,
    kind: type[CallError],
) -> None:
    with pytest.raises(kind) as caught:
        await answered(client, raw, requests, body, type="error")
    assert str(caught.value.code) == code
    assert caught.value.method == "target.buy"
    assert traceback.format_exception(caught.value)  # showing it does no harm either
    await client_is_well(client, raw, requests)


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b"", {}),
        (b"7", {}),
        (b"no json", {}),
        (b'"\xff"', {}),
        (b"[" * DEEP, {}),
        (b"\xdb\xff\xff\xff\xff", {"content_type": "application/msgpack"}),
        (b'"x"', {"content_type": "application/x-yaml"}),
        (b'"x"', {"content_type": NOT_UTF8}),
        (b'"x"', {"type": "strange"}),
        (b'"x"', {"type": None}),
        (b'"x"', {"type": NOT_UTF8}),
        (b'"x"', {"content_encoding": "gzip"}),
        (gzip.compress(b'"x"', mtime=0), {"content_encoding": "gzip"}),
        (b'"x"', {"content_encoding": "gzip", "headers": {"metadata": {"a": "b"}}}),
    ],
)
async def test_a_reply_that_is_no_result_is_an_invalid_result(
    client: Rabbit,
    raw: RawPeer,
    requests: asyncio.Queue[Delivery],
    body: bytes,
    properties: dict[str, Any],
) -> None:
    with pytest.raises((InvalidResult, InvalidArgument)) as caught:
        await answered(client, raw, requests, body, **properties)
    assert isinstance(caught.value, InvalidResult), caught.value
    assert caught.value.executed == "yes"
    await client_is_well(client, raw, requests)


@pytest.mark.parametrize("number", range(len(HEADERS)))
async def test_the_headers_of_replies_do_no_harm(
    client: Rabbit, raw: RawPeer, requests: asyncio.Queue[Delivery], number: int
) -> None:
    got = await answered(client, raw, requests, b'"x"', headers=HEADERS[number])
    assert got == "x"
    await client_is_well(client, raw, requests)


async def test_a_reply_above_the_clients_limit_is_never_decoded(
    rabbitmq_url: str, raw: RawPeer, requests: asyncio.Queue[Delivery]
) -> None:
    async with leveret.connect(rabbitmq_url, max_message_size=1_000) as client:
        with pytest.raises(InvalidResult, match="the reply takes 5000001 bytes"):
            await answered(client, raw, requests, b'"' + b"x" * 5_000_000)
        await client_is_well(client, raw, requests)


async def test_replies_of_strangers_end_no_call(
    client: Rabbit, raw: RawPeer, requests: asyncio.Queue[Delivery]
) -> None:
    """Whoever has found out the reply queue still has to guess the id of a call."""
    call = asyncio.create_task(client.remote(Target).buy("tea"))
    async with asyncio.timeout(PATIENCE):
        request = await requests.get()
    true_id = request.properties.correlation_id
    assert true_id is not None
    guesses: list[str | None] = [None, "", "0", "1", "2", "a", "ff", NOT_UTF8, "x" * 255]
    guesses += [true_id[:-1], true_id + "A", true_id.swapcase(), f" {true_id}"]
    kinds = ("result", "error", "call", "strange", None, NOT_UTF8)
    for guess in guesses:
        for kind in kinds:
            raw.channel.publish(
                "",
                client.calls.reply_queue.name,
                Properties(correlation_id=guess, type=kind, content_type="application/json"),
                b'"forged"',
            )
        for kind in ("accepted", "claim"):
            raw.channel.publish(
                "",
                client.calls.reply_queue.name,
                Properties(correlation_id=guess, type=kind, reply_to=guess),
                b"",
            )
    await until(
        lambda: client.late_replies == len(guesses) * len(kinds), "all are dropped and counted"
    )
    assert not call.done()
    raw.answer(request, b'"true"')
    assert await call == "true"
    await client_is_well(client, raw, requests)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"x-death": 7},
        {"x-death": []},
        {"x-death": ["x"]},
        {"x-death": [{}]},
        {"x-death": [{"reason": ["expired"]}]},
        {"x-death": [{"reason": "x" * 10_000}]},
    ],
)
async def test_a_forged_bounce_ends_its_own_call_alone(
    client: Rabbit,
    raw: RawPeer,
    requests: asyncio.Queue[Delivery],
    headers: dict[str, Any] | None,
) -> None:
    with pytest.raises(CallError) as caught:
        await answered(client, raw, requests, b"", type="call", headers=headers)
    assert caught.value.executed == "maybe"
    await client_is_well(client, raw, requests)


def test_lying_lengths_are_what_their_name_says() -> None:
    for body in LYING_LENGTHS:
        assert len(body) < 20
        assert struct.unpack(">H", body[-2:]) == (0xFFFF,)
