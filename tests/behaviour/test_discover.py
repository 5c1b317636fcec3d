"""A service is called without its class: what its servers say of it is the contract."""

from __future__ import annotations

import asyncio
import inspect
import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Flag
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest

import leveret
from leveret import (
    CallError,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    Meta,
    NoServer,
    Rabbit,
    RemoteError,
    Service,
    method,
)
from leveret.testing import FaultProxy
from tests.behaviour.patience import PATIENCE, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Fibonacci

MORNING = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
IMAGE = b"\xff\xd8\x00"


class Blurred(DeclaredError):
    """The picture is not sharp."""

    sharpness: Decimal
    thumbnail: bytes


class Plate(msgspec.Struct):
    image: bytes
    taken: datetime
    exposure: timedelta = timedelta(seconds=1)
    notes: dict[str, list[bytes]] = {}
    parent: Plate | None = None


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    side: float


class Exposure(msgspec.Struct):
    seconds: float
    longest: float = float("inf")


class Filters(Flag):
    RED = 1
    GREEN = 2


class Science(Service):
    """Looks at the sky."""

    @method(raises=[Blurred], idempotent=True)
    async def develop(
        self,
        plate: Plate,
        night: date = date(2024, 2, 28),
        *,
        tags: tuple[str, ...] = ("sky",),
        grain: Annotated[int, Meta(ge=1, le=9)] = 3,
    ) -> dict[str, Plate]:
        """Develop a plate."""
        if plate.image == b"blurred":
            raise Blurred(Decimal("0.30"), thumbnail=IMAGE)
        return {f"{night} {tags} {grain}": plate}

    @method
    async def area(self, shape: Circle | Square) -> list[Circle | Square]:
        return [shape]

    @method(content_type="application/octet-stream")
    async def invert(self, image: bytes) -> bytes:
        return image[::-1]

    @method(content_type="application/msgpack")
    async def register(
        self, owner: UUID, at: dict[int, datetime]
    ) -> tuple[UUID, dict[int, datetime]]:
        return owner, at

    @method
    async def look(self, through: Filters = Filters.RED | Filters.GREEN) -> list[Filters]:
        return [through, ~through]

    @method
    async def expose(self, _plate: int, by: Exposure | None = None) -> str:
        return f"{_plate} {by}"

    @method(timeout=3, priority_levels=4)
    async def close(self) -> None:
        """Close the dome."""


async def test_a_service_without_its_class_is_called_like_one_with_it(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Science()):
        science = await client.discover("science", timeout=PATIENCE)
        plate = {"image": IMAGE, "taken": MORNING, "notes": {"a": [b"1"]}}
        whole = {"exposure": timedelta(seconds=1), "parent": None, **plate}
        for given in (plate, Plate(IMAGE, MORNING, notes={"a": [b"1"]})):
            found = await science.develop(given)
            assert found == {"2024-02-28 ('sky',) 3": whole}
        assert await science.develop(
            {**plate, "parent": plate}, date(2024, 3, 1), grain=9, tags=["b"]
        ) == {"2024-03-01 ('b',) 9": {**whole, "parent": whole}}
        assert await science.area({"type": "Square", "side": 2}) == [
            {"type": "Square", "side": 2.0}
        ]
        assert await science.invert(IMAGE) == IMAGE[::-1]
        owner = UUID(int=7)
        assert await science.register(owner, {1: MORNING}) == (owner, {1: MORNING})
        assert await science.look() == await science.look(3) == [3, 0]
        assert await science.look(Filters.GREEN) == [2, 1]
        assert await science.expose(_plate=7) == "7 None"
        assert await science.expose(7, by={"seconds": 2}) == f"7 {Exposure(2.0)}"
        hurried = science.with_options(timeout=PATIENCE, priority=4, metadata={"a": "b"})
        assert await hurried.close() is None
        assert type(hurried) is type(science)
    assert dir(science) == [
        "area",
        "close",
        "develop",
        "errors",
        "expose",
        "invert",
        "look",
        "register",
        "with_options",
    ]
    shown = inspect.signature(science.develop)
    assert list(shown.parameters) == ["plate", "night", "tags", "grain"]
    assert shown.parameters["night"].default == date(2024, 2, 28)
    assert shown.parameters["tags"].kind is inspect.Parameter.KEYWORD_ONLY
    assert inspect.getdoc(science) == "Looks at the sky."
    assert "Develop a plate." in (science.develop.__doc__ or "")
    assert (
        repr(science)
        == "<discovered service science: area, close, develop, expose, invert, look, register>"
    )


class Nights(Service):
    """What was seen, in dicts with keys of all kinds."""

    @method
    async def at(self, seen: dict[datetime, int]) -> list[datetime]:
        return list(seen)

    @method
    async def of(self, seen: dict[bytes, int]) -> list[bytes]:
        return list(seen)

    @method(content_type="application/msgpack")
    async def packed(
        self, seen: dict[datetime, int], of: dict[bytes, int]
    ) -> tuple[dict[datetime, int], dict[bytes, int]]:
        return seen, of

    @method
    async def dated(self, seen: dict[date, int]) -> dict[date, int]:
        return seen


async def test_keys_of_dicts_are_what_a_remote_of_the_class_takes(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Nights()):
        nights = await client.discover("nights", timeout=PATIENCE)
        assert await nights.at({MORNING: 1}) == [MORNING]
        assert await nights.of({IMAGE: 1}) == [IMAGE]
        assert await nights.packed({MORNING: 1}, {IMAGE: 2}) == ({MORNING: 1}, {IMAGE: 2})
        assert await nights.dated({date(2024, 2, 29): 1}) == {"2024-02-29": 1}
        with pytest.raises(InvalidArgument) as caught:
            await nights.at({"soon": 1})
        assert caught.value.executed == "no"


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("develop", (), {}),
    ("develop", (1, 2, 3), {}),
    ("develop", ({"image": IMAGE},), {}),
    ("develop", ({"image": "data", "taken": MORNING},), {}),
    ("develop", ({"image": IMAGE, "taken": "soon"},), {}),
    ("develop", ({"image": IMAGE, "taken": MORNING, "notes": {"a": ["1"]}},), {}),
    ("develop", ({"image": IMAGE, "taken": MORNING},), {"grain": 10}),
    ("develop", ({"image": IMAGE, "taken": MORNING},), {"size": 1}),
    ("area", ({"type": "Square", "side": 1, "sides": 4},), {}),
    ("area", ({"type": "Triangle"},), {}),
    ("invert", ("text",), {}),
    ("register", (7, {}), {}),
    ("close", (), {"now": True}),
]


async def test_arguments_are_refused_before_they_are_sent_as_for_a_class(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Science()):
        science = await client.discover("science", timeout=PATIENCE)
        typed = client.remote(Science)
        for name, args, kwargs in WRONG:
            said = []
            for remote in (science, typed):
                with pytest.raises(InvalidArgument) as caught:
                    await getattr(remote, name)(*args, **kwargs)
                error = caught.value
                said.append((str(error), error.executed, error.attempts, error.method))
            assert said[0] == said[1]
            assert said[0][1:] == ("no", 0, f"science.{name}")
        with pytest.raises(InvalidArgument, match=r"priority 5 is more than the 4"):
            await science.with_options(priority=5).close()


async def test_declared_errors_are_caught_by_name(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Science()):
        science = await client.discover("science", timeout=PATIENCE)
        again = await client.with_options(timeout=PATIENCE).discover("science", timeout=PATIENCE)
        with pytest.raises(again.errors.Blurred) as caught:
            await science.develop({"image": b"blurred", "taken": MORNING})
        error = caught.value
        assert (error.sharpness, error.thumbnail) == (Decimal("0.30"), IMAGE)
        assert (error.code, error.executed) == ("BLURRED", "yes")
        with pytest.raises(Blurred) as typed:
            await client.remote(Science).develop(Plate(b"blurred", MORNING))
        assert str(error) == str(typed.value)
    assert dir(science.errors) == ["Blurred"]
    assert repr(science.errors) == "<errors of science: Blurred>"
    with pytest.raises(
        AttributeError, match=r"no error 'Sharp'; it has Blurred.*discover it again"
    ):
        _ = science.errors.Sharp


async def test_a_name_that_no_server_has_is_told_from_those_that_are_there(
    client: Rabbit, host: Rabbit
) -> None:
    with pytest.raises(NoServer, match="no server of the service 'fibonaci' is there") as caught:
        await client.discover("fibonaci", timeout=600)
    assert caught.value.executed == "no"
    async with host.serving(Fibonacci(), Echo()):

        async def look() -> bool:
            with pytest.raises(NoServer) as caught:
                await client.discover("fibonaci", timeout=600)
            return "echo, fibonacci. Did you mean 'fibonacci'?" in str(caught.value)

        await until_found(look, True, "the servers that are there are named")
    with pytest.raises(InvalidArgument, match=r"snake case.*got 'echo\.echo'"):
        await client.discover("echo.echo")
    with pytest.raises(InvalidArgument, match="timeout"):
        await client.discover("echo", timeout=0)


async def test_servers_that_do_not_answer_end_the_question_in_time(
    client: Rabbit, raw: RawPeer
) -> None:
    declared = await raw.channel.declare_queue("", exclusive=True)
    await raw.channel.bind_queue(declared.queue or "", "leveret.control", "mute")
    with pytest.raises(NoServer, match=r"no server of the service 'mute' answered in 0\.2 s"):
        await client.discover("mute", timeout=0.2)


async def test_a_question_waits_for_a_server_that_comes_up(client: Rabbit, host: Rabbit) -> None:
    waiting = client.with_options(wait_for_server=True)
    question = asyncio.create_task(waiting.discover("echo", timeout=PATIENCE))
    async with host.serving(Echo()):
        echo = await question
        assert await echo.echo("x") == "x"


async def test_a_question_outlives_its_connection(rabbitmq_url: str, host: Rabbit) -> None:
    async with (
        host.serving(Echo()),
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url) as far,
    ):
        proxy.cut()
        echo = await far.discover("echo", timeout=PATIENCE)
        assert await echo.with_options(timeout=PATIENCE).echo("x") == "x"
    with pytest.raises(CallError, match="the client was closed") as caught:
        await echo.echo("x")
    assert caught.value.executed == "no"


async def test_answers_that_are_none_are_told(client: Rabbit, raw: RawPeer) -> None:
    bodies = [b"{", b'{"schemas": 1}', b'{"schemas": {"odd_3": {"methods": [1]}}}']
    for number, body in enumerate(bodies, 1):
        # Of each its own, as a question may have been asked again.
        service = f"odd_{number}"
        declared = await raw.channel.declare_queue("", exclusive=True)
        await raw.channel.bind_queue(declared.queue or "", "leveret.control", service)
        questions = await raw.take(declared.queue or "")
        asking = asyncio.create_task(client.discover(service, timeout=PATIENCE))
        raw.answer(await questions.get(), body)
        with pytest.raises(ContractError, match=f"'{service}' cannot be read"):
            await asking


class OldShop(Service, name="shop"):
    @method
    async def price(self, sku: str) -> int:
        return 3

    @method
    async def stock(self, sku: str) -> int:
        return 1

    @method
    async def sell(self, sku: str) -> int:
        return 1


class NewShop(Service, name="shop"):
    @method
    async def price(self, sku: int) -> int:
        return 3

    @method
    async def stock(self, sku: str) -> str:
        return "many"

    @method
    async def buy(self, sku: str) -> int:
        return 2


async def test_a_contract_that_changed_since_is_told_from_a_fault(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(OldShop()):
        shop = await client.discover("shop", timeout=PATIENCE)
        assert await shop.price("carrot") == 3
    async with host.serving(NewShop()):
        again = "if its servers have changed since it was discovered, discover it again"
        with pytest.raises(
            AttributeError, match=f"not a remote method of shop, which has .*; {again}"
        ):
            shop.buy  # noqa: B018
        for name, error in (
            ("price", InvalidArgument),
            ("stock", InvalidResult),
            ("sell", NoServer),  # its queue is still there
        ):
            with pytest.raises(error, match=again):
                await getattr(shop, name)("carrot")
        shop = await client.discover("shop", timeout=PATIENCE)
        assert await shop.buy("carrot") == 2


async def test_most_servers_are_believed_where_they_differ(
    client: Rabbit, rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "leveret.client")

    def told() -> list[str]:
        lines = [line.getMessage() for line in caplog.records if line.name == "leveret.client"]
        return [line for line in lines if "different contracts" in line]

    async with (
        leveret.connect(rabbitmq_url) as one,
        leveret.connect(rabbitmq_url) as two,
        leveret.connect(rabbitmq_url) as three,
        one.serving(OldShop()),
        two.serving(NewShop()),
        three.serving(NewShop()),
    ):

        async def look() -> tuple[int, bool]:
            caplog.clear()
            shop = await client.discover("shop", timeout=PATIENCE)
            kind = inspect.signature(shop.price).parameters["sku"].annotation
            return len(told()), kind is int and {"sell", "buy"} <= set(dir(shop))

        await until_found(look, (2, True), "all three answer in time")
    assert any(
        line.startswith("shop.price: its servers have different contracts")
        and 'arguments.properties.sku.type is "integer" here and "string" there' in line
        for line in told()
    )


class Guide(Service):
    """Finds out about services in its handlers."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.rabbit = rabbit

    @method(timeout=30)
    async def methods(self, service: str) -> list[str]:
        found = await self.rabbit.discover(service, timeout=600)
        return [name for name in dir(found) if name not in ("errors", "with_options")]


async def test_a_handler_discovers_within_its_own_deadline(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    declared = await raw.channel.declare_queue("", exclusive=True)
    await raw.channel.bind_queue(declared.queue or "", "leveret.control", "mute")
    async with host.serving(Guide(host), Echo()):
        guide = client.remote(Guide)
        assert await guide.methods("echo") == ["echo"]
        # Which of them ends first, the handler or the question in it, nobody can say.
        with pytest.raises((DeadlineExceeded, RemoteError)):
            await guide.with_options(timeout=0.3).methods("mute")


async def test_its_calls_go_through_the_clients_middleware(rabbitmq_url: str, host: Rabbit) -> None:
    seen: list[tuple[str, dict[str, Any], Any]] = []

    async def watch(call: leveret.OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        result = await call_next(call)
        seen.append((call.method, call.arguments, result))
        return result

    async with leveret.connect(rabbitmq_url, middleware=[watch]) as rabbit, host.serving(Science()):
        science = await rabbit.discover("science", timeout=PATIENCE)
        await science.area({"type": "Circle", "radius": 1.0})
    shape = {"type": "Circle", "radius": 1.0}
    assert seen == [("science.area", {"shape": shape}, [shape])]
