"""Arguments that do not fit, found by the client or the server, and bodies that are no bodies."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leveret import Code, InvalidArgument, Rabbit, Service, method
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Fibonacci


class Sums(Service):
    def __init__(self) -> None:
        self.ran = 0

    @method
    async def add(self, a: float, b: float = 0.0) -> float:
        self.ran += 1
        return a + b


class Numbers(Service):
    @method
    async def next(self, n: int) -> int:
        return n + 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((-1,), "Expected `int` >= 0"),
        ((10_001,), "Expected `int` <= 10000"),
        (("30",), "Expected `int`, got `str`"),
        ((None,), "Expected `int`, got `null`"),
        ((2**70,), "int"),
        ((), "missing 1 required|Missing required"),
        ((1, 2), "positional"),
    ],
)
async def test_the_client_refuses_arguments_that_do_not_fit(
    client: Rabbit, args: tuple[Any, ...], message: str
) -> None:
    # Nobody serves this: had it been sent, it would be Unimplemented.
    with pytest.raises(InvalidArgument, match=message) as caught:
        await client.remote(Fibonacci).fib(*args)
    assert (caught.value.executed, caught.value.attempts) == ("no", 0)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert str(caught.value).startswith("fibonacci.fib: ")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, b"\xff", object(), 1j])
async def test_the_client_refuses_values_that_json_cannot_carry(client: Rabbit, value: Any) -> None:
    with pytest.raises(InvalidArgument):
        await client.remote(Sums).add(value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
async def test_the_client_names_the_number_that_json_does_not_have(
    client: Rabbit, value: float
) -> None:
    said = rf"^sums\.add: JSON cannot carry {value}, MessagePack can .* - at `\$\.a`"
    with pytest.raises(InvalidArgument, match=said):
        await client.remote(Sums).add(value)
    with pytest.raises(InvalidArgument, match=said):
        await client.call("sums.add", a=value)


async def test_the_client_refuses_text_that_is_no_unicode(client: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="surrogate"):
        await client.remote(Echo).echo("\ud800")


@pytest.mark.parametrize("n", [2**53, 2**63 - 1, -(2**63), 2**64, 10**300])
async def test_whole_numbers_of_any_size_travel_exactly(
    client: Rabbit, host: Rabbit, n: int
) -> None:
    async with host.serving(Numbers()):
        assert await client.remote(Numbers).next(n) == n + 1
        assert await client.call("numbers.next", n=n) == n + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "Expected `int` >= 0"),
        ({"n": "30"}, "Expected `int`, got `str`"),
        ({"n": 1.5}, "Expected `int`, got `float`"),
        ({}, "missing required field `n`"),
        ({"n": 1, "m": 2}, "unknown field `m`"),
    ],
)
async def test_the_server_refuses_arguments_that_do_not_fit(
    client: Rabbit, host: Rabbit, arguments: dict[str, Any], message: str
) -> None:
    async with host.serving(Fibonacci()):
        with pytest.raises(InvalidArgument, match=message) as caught:
            await client.call("fibonacci.fib", **arguments)
    assert (caught.value.executed, caught.value.attempts) == ("no", 1)
    assert caught.value.method == "fibonacci.fib"


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b"", {}),
        (b"{", {}),
        (b"no json", {}),
        (b"[1, 2]", {}),
        (b'{"a": 1}{"a": 2}', {}),
        (b'{"a": NaN}', {}),
        (b'{"a": 1e999}', {}),
        (b'{"a": "\xff\xfe"}', {}),
        (b"[" * 100_000, {}),
        (b"\x1f\x8b\x08\x00", {"content_encoding": "gzip"}),
        ('{"a": 1}'.encode("utf-16"), {"content_type": "application/json; charset=utf-16"}),
        (b"\x82\xa1a", {"content_type": "application/msgpack"}),
        (b"\xc1", {"content_type": "application/msgpack"}),
        (b"a: 1", {"content_type": "application/x-yaml"}),
        (b"cposix\nsystem\n.", {"content_type": "application/x-python-pickle"}),
        (b"1", {"content_type": "text/plain"}),
        (b"\x00", {"content_type": "application/octet-stream"}),
        (b"{}", {"content_type": "\udcff"}),
    ],
)
async def test_the_server_answers_a_body_that_it_cannot_decode(
    host: Rabbit, raw: RawPeer, body: bytes, properties: dict[str, Any]
) -> None:
    sums = Sums()
    await raw.listen()
    async with host.serving(sums):
        raw.request("sums.add", body, **properties)
        failure = await raw.failure()
        assert failure["code"] == "INVALID_ARGUMENT"
        assert failure["executed"] == "no"
        assert failure["message"]
        assert sums.ran == 0
        raw.request("sums.add", b'{"a": 1, "b": 2}')
        assert (await raw.reply()).body == b"3.0"


async def test_a_request_without_a_reply_queue_is_run_and_not_answered(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    sums = Sums()
    async with host.serving(sums):
        raw.request("sums.add", b'{"a": 1}')
        raw.request("sums.add", b"no json")
        await raw.flushed()
        assert await client.remote(Sums).add(1, 2) == 3
        assert sums.ran == 2
        assert await raw.waiting("leveret.sums.add") == 0


async def test_a_request_without_a_correlation_id_is_answered_without_one(
    host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Sums()):
        raw.request("sums.add", b'{"a": 1}', correlation_id=None)
        reply = await raw.reply()
    assert (reply.body, reply.properties.correlation_id) == (b"1.0", None)


async def test_a_correlation_id_that_is_no_utf8_comes_back_unchanged(
    host: Rabbit, raw: RawPeer
) -> None:
    strange = b"\xff\x00\xfe".decode("utf-8", "surrogateescape")
    await raw.listen()
    async with host.serving(Sums()):
        for body in (b'{"a": 1}', b"no json"):
            raw.request("sums.add", body, correlation_id=strange)
            assert (await raw.reply()).properties.correlation_id == strange
