"""Bodies of every content type and size, results that do not fit, and limits on either side."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

import leveret
from leveret import Busy, Code, InvalidArgument, InvalidResult, Meta, Rabbit, Service, method
from tests.behaviour.patience import at_once
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo

MEGABYTE = 1024 * 1024


class Bodies(Service):
    """One method for each content type."""

    @method
    async def json(self, text: str, times: int = 1) -> str:
        return text * times

    @method(content_type="application/msgpack")
    async def msgpack(self, data: bytes) -> bytes:
        return data

    @method(content_type="text/plain")
    async def text(self, text: str) -> str:
        return text

    @method(content_type="application/octet-stream")
    async def raw(self, data: bytes) -> bytes:
        return data


class Wrong(Service):
    """Returns what it is told to, whatever its annotation says."""

    def __init__(self) -> None:
        self.result: Any = None

    @method
    async def number(self) -> Annotated[int, Meta(ge=0)]:
        return self.result  # type: ignore[no-any-return]

    @method
    async def text(self) -> str:
        return self.result  # type: ignore[no-any-return]

    @method
    async def reals(self) -> list[float]:
        return self.result  # type: ignore[no-any-return]


class WrongAsTheCallerKnowsIt(Service, name="wrong"):
    @method
    async def text(self) -> int: ...  # type: ignore[empty-body]


# The frames of RabbitMQ hold 131,064 bytes of a body.
SIZES = [0, 1, 131_063, 131_064, 131_065, 2 * 131_064, MEGABYTE]


@pytest.mark.parametrize("size", SIZES)
async def test_raw_bodies_of_any_size_travel(client: Rabbit, host: Rabbit, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with host.serving(Bodies()):
        assert await client.remote(Bodies).raw(data) == data


@pytest.mark.parametrize("size", SIZES)
async def test_text_bodies_of_any_size_travel(client: Rabbit, host: Rabbit, size: int) -> None:
    async with host.serving(Bodies()):
        assert await client.remote(Bodies).text("x" * size) == "x" * size


@pytest.mark.parametrize("size", SIZES)
async def test_structured_bodies_of_any_size_travel(
    client: Rabbit, host: Rabbit, size: int
) -> None:
    async with host.serving(Bodies()):
        assert await client.remote(Bodies).json("ü" * (size // 2)) == "ü" * (size // 2)
        assert await client.remote(Bodies).msgpack(b"\xff" * size) == b"\xff" * size


async def test_large_and_small_bodies_travel_side_by_side(client: Rabbit, host: Rabbit) -> None:
    remote = client.remote(Bodies)
    sizes = [300_000, 5, 131_064, 0] * 10
    async with host.serving(Bodies()):
        got = await asyncio.gather(*(remote.raw(bytes(size)) for size in sizes))
    assert [len(data) for data in got] == sizes


@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_a_caller_may_choose_another_content_type(
    client: Rabbit, host: Rabbit, raw: RawPeer, content_type: str
) -> None:
    remote = client.remote(Bodies).with_options(content_type=content_type)
    async with host.serving(Bodies()):
        assert await remote.json("ab", times=2) == "abab"
        assert await remote.msgpack(b"\x00\xff") == b"\x00\xff"
        assert await remote.raw(b"\x00\xff") == b"\x00\xff"
        by_name = client.with_options(content_type=content_type)
        assert await by_name.call("bodies.json", text="ab") == "ab"


async def test_the_reply_has_the_content_type_of_the_request(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    async with host.serving(Bodies()):
        raw.request("bodies.json", b"\x81\xa4text\xa1a", content_type="application/msgpack")
        reply = await raw.reply()
        assert (reply.body, reply.properties.content_type) == (b"\xa1a", "application/msgpack")
        raw.request("bodies.json", b'{"text":"a"}', content_type="Application/JSON; charset=UTF-8")
        reply = await raw.reply()
        assert (reply.body, reply.properties.content_type) == (b'"a"', "application/json")
        raw.request("bodies.msgpack", b"\x81\xa4data\xc4\x01a", content_type=None)
        reply = await raw.reply()
        assert reply.properties.content_type == "application/msgpack"


async def test_a_content_type_that_cannot_carry_the_method_is_refused(client: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="one parameter at most"):
        await client.remote(Bodies).with_options(content_type="text/plain").json("x")
    with pytest.raises(InvalidArgument, match="unknown content type"):
        await client.remote(Bodies).with_options(content_type="text/xml").json("x")


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("number", "7"),
        ("number", -1),
        ("number", None),
        ("number", object()),
        ("number", 1.5),
        ("text", 7),
        ("text", "\ud800"),
        ("reals", [1.0, float("nan")]),
        ("reals", "abc"),
    ],
)
async def test_a_result_that_its_annotation_forbids_is_an_invalid_result(
    client: Rabbit, host: Rabbit, name: str, result: Any
) -> None:
    wrong = Wrong()
    wrong.result = result
    async with host.serving(wrong):
        with pytest.raises(InvalidResult, match="does not fit its annotation") as caught:
            await getattr(client.remote(Wrong), name)()
        assert caught.value.executed == "yes"
        assert caught.value.code == Code.INTERNAL
        with pytest.raises(InvalidResult):
            await client.call(f"wrong.{name}")


async def test_a_result_that_the_callers_contract_forbids_is_an_invalid_result(
    client: Rabbit, host: Rabbit
) -> None:
    wrong = Wrong()
    wrong.result = "seven"
    async with host.serving(wrong):
        with pytest.raises(InvalidResult, match="reply does not fit the contract.*`int`") as caught:
            await client.remote(WrongAsTheCallerKnowsIt).text()
    assert caught.value.executed == "yes"


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b"no json", {}),
        (b'"\xff"', {}),
        (b'"a"', {"content_type": "application/x-yaml"}),
        (b'"a"', {"type": "strange"}),
        (b'"a"', {"type": None}),
    ],
)
async def test_a_reply_that_cannot_be_decoded_is_an_invalid_result(
    client: Rabbit, host: Rabbit, raw: RawPeer, body: bytes, properties: dict[str, Any]
) -> None:
    async with host.serving(Echo()):
        pass
    taken = await raw.take("leveret.echo.echo")
    call = asyncio.create_task(client.remote(Echo).echo("x"))
    raw.answer(await taken.get(), body, **properties)
    with pytest.raises(InvalidResult):
        await call


async def test_arguments_above_the_callers_limit_are_not_sent(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url, max_message_size=1000) as rabbit:
        with pytest.raises(Busy, match="arguments take 1011 bytes.*max_message_size") as caught:
            await rabbit.remote(Echo).echo("x" * 1000)
        assert caught.value.executed == "no"


async def test_servers_are_not_asked_with_arguments_above_the_callers_limit(
    rabbitmq_url: str,
) -> None:
    async with leveret.connect(rabbitmq_url, max_message_size=1000) as rabbit:
        echo = rabbit.remote(Echo).echo
        one, every = rabbit.ask_one(echo, "b47af560"), rabbit.ask_all(echo, allow_effects=True)
        for asked in (one, every):
            with pytest.raises(Busy, match="1011 bytes, more than the 1000 of max_me") as caught:
                await asked("x" * 1000)
            assert (caught.value.executed, caught.value.retry_after) == ("no", -1)


async def test_arguments_above_the_servers_limit_are_refused(
    client: Rabbit, rabbitmq_url: str
) -> None:
    async with (
        leveret.connect(rabbitmq_url, max_message_size=300_000) as small,
        small.serving(Bodies()),
    ):
        async with at_once():
            with pytest.raises(Busy, match="arguments take 500000 bytes.*server's") as caught:
                await client.remote(Bodies).with_options(timeout=60).raw(bytes(500_000))
        assert caught.value.executed == "no"
        assert await client.remote(Bodies).raw(bytes(300_000)) == bytes(300_000)


async def test_a_result_above_the_servers_limit_is_an_invalid_result(
    client: Rabbit, rabbitmq_url: str
) -> None:
    async with (
        leveret.connect(rabbitmq_url, max_message_size=1000) as small,
        small.serving(Bodies()),
    ):
        with pytest.raises(InvalidResult, match="result takes 5002 bytes.*server's") as caught:
            await client.remote(Bodies).json("x", times=5000)
        assert caught.value.executed == "yes"


async def test_a_result_above_the_callers_limit_is_an_invalid_result(
    rabbitmq_url: str, host: Rabbit
) -> None:
    async with (
        host.serving(Bodies()),
        leveret.connect(rabbitmq_url, max_message_size=300_000) as small,
    ):
        remote = small.remote(Bodies)
        with pytest.raises(InvalidResult, match="reply takes 500002 bytes") as caught:
            await remote.json("x", times=500_000)
        assert caught.value.executed == "yes"
        assert await remote.json("x", times=5) == "xxxxx"
