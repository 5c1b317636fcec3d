"""Types are what they say: generic services, text and bytes, bounds, the fields of errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Annotated, Any, Generic, TypeVar

import annotated_types as at
import msgspec
import pytest

from leveret import (
    ContractError,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    Rabbit,
    RemoteError,
    Service,
    method,
)

T = TypeVar("T")
CONTENT_TYPES = ["application/json", "application/msgpack"]


class Item(msgspec.Struct):
    name: str
    picture: bytes = b""


class Repo(Service, Generic[T]):
    """Keeps things."""

    def __init__(self) -> None:
        self.given: Any = None
        self.result: Any = None

    @method
    async def save(self, x: T) -> T:
        self.given = x
        return x if self.result is None else self.result


class Items(Repo[Item]): ...


class Lists(Repo[dict[str, list[Item]]]): ...


class Gone(DeclaredError):
    """It is gone."""

    sku: str
    left: float = 0.0


class SoldToAFriend(Gone):
    """A friend has it."""

    friend: str = "Ann"


class Shop(Service):
    def __init__(self) -> None:
        self.error: Exception = Gone("a")

    @method(raises=[Gone])
    async def buy(self, count: Annotated[int, at.Gt(0)]) -> None:
        raise self.error


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_a_generic_service_gets_and_gives_what_its_class_says(
    client: Rabbit, host: Rabbit, content_type: str
) -> None:
    items = Items()
    remote = client.remote(Items).with_options(content_type=content_type)
    async with host.serving(items):
        assert await remote.save(Item("pear", b"\xff")) == Item("pear", b"\xff")
        assert items.given == Item("pear", b"\xff")
        with pytest.raises(InvalidArgument, match=r"Expected `str`, got `int` - at `\$\.x\.name`"):
            await client.call("items.save", x={"name": 3})
    with pytest.raises(ContractError, match="nothing says what T is"):
        client.remote(Repo)
    with pytest.raises(ContractError, match="nothing says what T is"):
        await host.serve(Repo())


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("wrong", [Item(b"abc"), Item("pear", "data")])  # type: ignore[arg-type]
async def test_both_sides_tell_text_from_bytes_at_any_depth(
    client: Rabbit, host: Rabbit, content_type: str, wrong: Item
) -> None:
    lists = Lists()
    remote = client.remote(Lists).with_options(content_type=content_type)
    right = {"fruit": [Item("pear")]}
    mixed_up = "Expected `(str|bytes)`, got `(str|bytes)`"
    with pytest.raises(InvalidArgument, match=mixed_up):  # by the client: no server is there
        await remote.save({"fruit": [Item("pear"), wrong]})
    async with host.serving(lists):
        lists.result = {"fruit": [wrong]}
        with pytest.raises(InvalidResult, match=mixed_up):
            await remote.save(right)
        lists.result = None
        assert await remote.save(right) == right


async def test_bounds_of_annotated_types_are_checked_by_both_sides(
    client: Rabbit, host: Rabbit
) -> None:
    with pytest.raises(InvalidArgument, match="Expected `int` >= 1"):
        await client.remote(Shop).buy(0)
    async with host.serving(Shop()):
        with pytest.raises(InvalidArgument, match="Expected `int` >= 1"):
            await client.call("shop.buy", count=0)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Gone("a", float("inf")), "JSON cannot carry inf"),
        (Gone(b"a"), "Expected `str`, got `bytes`"),  # type: ignore[arg-type]
        (SoldToAFriend(3), "Expected `str`, got `int`"),  # type: ignore[arg-type]
    ],
)
async def test_the_fields_of_a_declared_error_are_checked_where_it_is_raised(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture, error: Exception, why: str
) -> None:
    shop = Shop()
    shop.error = error
    async with host.serving(shop):
        with pytest.raises(RemoteError, match=f"its fields do not fit their .*{why}") as caught:
            await client.remote(Shop).buy(1)
    assert (caught.value.type_name, caught.value.code) == (type(error).__name__, "INTERNAL")
    assert caught.value.executed == "yes"
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert re.search(r"shop\.buy \(call [\w-]+\) raised", record.getMessage())
    assert why in record.getMessage()


async def test_a_subclass_of_a_declared_error_arrives_as_that(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    shop.error = SoldToAFriend("pear", 2.5)
    async with host.serving(shop):
        with pytest.raises(Gone) as caught:
            await client.remote(Shop).buy(1)
        with pytest.raises(RemoteError, match="A friend has it") as by_name:
            await client.call("shop.buy", count=1)
    assert type(caught.value) is Gone
    assert (caught.value.sku, caught.value.left, caught.value.executed) == ("pear", 2.5, "yes")
    assert (by_name.value.code, by_name.value.data) == ("GONE", {"sku": "pear", "left": 2.5})
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class Real(float):
    """A float, as numpy.float64 is one."""


class Sensor(Service):
    @method
    async def read(self, raw: bytes, factor: float) -> list[float]:
        return [Real(byte * factor) for byte in raw]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_values_that_mean_the_same_arrive_as_the_annotation_says(
    client: Rabbit, host: Rabbit, content_type: str
) -> None:
    remote = client.remote(Sensor).with_options(content_type=content_type)
    raws: list[Any] = [bytearray(b"\x01\x02"), memoryview(b"\x01\x02")]
    async with host.serving(Sensor()):
        for raw in raws:
            found = await remote.read(raw, Real(0.5))
            assert (found, type(found[0])) == ([0.5, 1.0], float)


BERLIN_OF_OLD = timezone(timedelta(minutes=53, seconds=28))
OLD = datetime(1880, 5, 1, 12, tzinfo=BERLIN_OF_OLD)


class Archive(Service):
    @method
    async def at(self, when: list[datetime]) -> list[datetime]:
        return [one.astimezone(BERLIN_OF_OLD) for one in when]

    @method
    async def opens(self, daily: dict[str, time]) -> None: ...

    @method(content_type="text/plain")
    async def year(self, when: datetime) -> int:
        return when.year


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_no_date_arrives_as_another_moment_where_its_offset_has_seconds(
    client: Rabbit, host: Rabbit, content_type: str
) -> None:
    async with host.serving(Archive()):
        archive = client.remote(Archive).with_options(content_type=content_type)
        by_name = client.with_options(content_type=content_type)
        opens = time(8, tzinfo=BERLIN_OF_OLD)
        for call in (archive.opens({"all": opens}), by_name.call("archive.opens", daily=[opens])):
            with pytest.raises(InvalidArgument, match=r"that of 08:00:00\+00:53:28.*`\$\.daily"):
                await call
        if content_type == "application/msgpack":  # a date travels in UTC there
            assert await archive.at([OLD]) == [OLD]
            return
        for call in (archive.at([OLD]), by_name.call("archive.at", when=[OLD])):
            with pytest.raises(InvalidArgument, match=r"\+00:53:28; .* - at `\$\.when\[0\]`") as no:
                await call
            assert no.value.executed == "no"
        with pytest.raises(InvalidResult, match=r"\+00:53:28; convert it, as by astimezone\(UTC\)"):
            await archive.at([OLD.astimezone(UTC)])
        with pytest.raises(InvalidArgument, match=r"\+00:53:28"):
            await client.remote(Archive).year(OLD)
        assert await client.remote(Archive).year(OLD.astimezone(UTC)) == OLD.year
