"""Types of one's own, which travel by hooks: in all places of a contract, on both sides."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import pytest
from pydantic import BaseModel

from leveret import (
    DeclaredError,
    Hook,
    InvalidArgument,
    InvalidResult,
    Meta,
    Rabbit,
    Service,
    method,
)
from tests.behaviour.patience import PATIENCE

T = TypeVar("T")


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount, self.currency = amount, currency

    @classmethod
    def parse(cls, text: str) -> Money:
        amount, currency = text.split(" ")
        if currency == "XXX":
            raise KeyError(currency)
        return cls(Decimal(amount), currency)

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Point:
    def __init__(self, x: float, y: float) -> None:
        self.at = (x, y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.at == other.at

    def __hash__(self) -> int:
        return hash(self.at)


NOTHING = Money(Decimal(0), "EUR")
MONEY = Hook(Money, Annotated[str, Meta(max_length=20)], encode=str, decode=Money.parse)
CENTS = Hook(
    Money,
    int,
    encode=lambda money: int(money.amount * 100),
    decode=lambda cents: Money(Decimal(cents) / 100, "EUR"),
)
POINT = Hook(Point, tuple[float, float], encode=lambda p: p.at, decode=lambda at: Point(*at))


@dataclass
class Line:
    price: Money
    count: int = 1


class Page(msgspec.Struct, Generic[T]):
    items: list[T]
    totals: dict[Money, Money | None] = {}


class Offer(BaseModel):
    price: Annotated[Money, MONEY]


class SoldOut(DeclaredError):
    """It is sold out."""

    price: Money
    at: Point | None = None


class Repo(Service, Generic[T]):
    @method
    async def save(self, x: T) -> T:
        return x


class Priced(Service, types=[MONEY, POINT]):
    """A service that lends its hooks and its methods."""

    @method
    async def add(self, left: Money, right: Money = NOTHING) -> Money:
        return Money(left.amount + right.amount, left.currency)


class Shop(Priced):
    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.result: Any = None

    @method(raises=[SoldOut])
    async def sell(self, page: Page[Line], at: Point) -> Page[Line]:
        self.seen += [page, at]
        if not page.items:
            raise SoldOut(Money(Decimal(1), "EUR"), at)
        return page if self.result is None else self.result

    @method
    async def cents(self, exact: Annotated[Money, CENTS], other: Money | int) -> list[Money | int]:
        return [exact, other]

    @method
    async def offer(self, offer: Offer, moneys: list[Money]) -> Offer | None:
        self.seen += [offer, moneys]
        return offer

    @method(content_type="text/plain")
    async def twice(self, money: Money) -> Money:
        return Money(money.amount * 2, money.currency)


class Moneys(Repo[Money], types=[MONEY]): ...


ONE = Money(Decimal(1), "EUR")
TWO = Money(Decimal("2.5"), "EUR")
BAD = Money(Decimal(1), "XXX")
PAGE = Page([Line(ONE), Line(TWO, 3)], {ONE: TWO, TWO: None})


@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_types_of_ones_own_travel_in_all_places(
    client: Rabbit, host: Rabbit, content_type: str
) -> None:
    shop = Shop()
    remote = client.remote(Shop).with_options(content_type=content_type)
    by_name = client.with_options(content_type=content_type)
    async with host.serving(shop, Moneys()):
        assert await remote.sell(PAGE, Point(1, 2)) == PAGE
        assert shop.seen == [PAGE, Point(1, 2)]
        assert await remote.add(ONE, TWO) == Money(Decimal("3.5"), "EUR")
        assert await remote.add(ONE) == ONE
        assert str(inspect.signature(remote.add)).endswith("Money")
        assert await remote.cents(TWO, 5) == [TWO, 5]
        assert await remote.cents(TWO, ONE) == [TWO, ONE]
        assert await by_name.call("shop.cents", exact=250, other="1 EUR") == ["2.5 EUR", "1 EUR"]
        assert await remote.offer(Offer(price=TWO), [ONE]) == Offer(price=TWO)
        assert shop.seen[2:] == [Offer(price=TWO), [ONE]]
        assert await client.remote(Shop).twice(TWO) == Money(Decimal(5), "EUR")
        assert await client.remote(Moneys).save(ONE) == ONE
        with pytest.raises(SoldOut) as sold_out:
            await remote.sell(Page([]), Point(1, 2))
        assert (sold_out.value.price, sold_out.value.at) == (ONE, Point(1, 2))


async def test_what_hooks_refuse_is_told_to_whoever_can_mend_it(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    remote = client.remote(Shop)
    said = r"shop\.sell: Invalid `Money`: KeyError: 'XXX' - at `\$\.page\.items\[0\]\.price`"
    with pytest.raises(InvalidArgument, match=said) as refused:
        await remote.sell(Page([Line(BAD)]), Point(1, 2))  # by the client: no server is there
    assert refused.value.executed == "no"
    said = "the encode hook of `Money` raised AttributeError: 'str' object has no"
    with pytest.raises(InvalidArgument, match=said):
        await remote.add(Money("1", "EUR"))  # type: ignore[arg-type]
    async with host.serving(shop):
        arguments: dict[str, Any] = {"page": {"items": [{"price": "1 XXX"}]}, "at": [1, 2]}
        said = r"Invalid `Money`: KeyError: 'XXX' - at `\$\.page\.items\[0\]\.price`"
        with pytest.raises(InvalidArgument, match=said) as refused:
            await client.call("shop.sell", **arguments)
        assert refused.value.executed == "no"
        with pytest.raises(InvalidArgument, match=r"length <= 20 - at `\$\.left`"):
            await client.call("shop.add", left="1" * 30 + " EUR")
        with pytest.raises(
            InvalidArgument, match=r"Expected `float`, got `str` - at `\$\.at\[0\]`"
        ):
            await client.call("shop.sell", page={"items": []}, at=["1", 2])
        assert shop.seen == []
        shop.result = Page([Line(BAD)])
        said = r"handler's result .*: Invalid `Money`: KeyError: 'XXX' - at `\$\.items\[0\]\.price`"
        with pytest.raises(InvalidResult, match=said):
            await remote.sell(PAGE, Point(1, 2))
        assert "the handler's result does not fit its annotation: Invalid `Money`" in caplog.text
        shop.result = Page([Line(Money("1", "EUR"))])  # type: ignore[arg-type]
        with pytest.raises(InvalidResult, match="the encode hook of `Money` raised"):
            await remote.sell(PAGE, Point(1, 2))


class Sealed:
    def __init__(self, number: int) -> None:
        self.number = number


@dataclass
class Parcel:
    seal: Sealed = Sealed(7)  # noqa: RUF009
    to: str = "Ann"


class Post(Service, types=[Hook(Sealed, int, encode=attrgetter("number"), decode=Sealed)]):
    @method
    async def send(self, parcel: Parcel) -> int:
        return parcel.seal.number


async def test_a_service_is_described_where_a_field_has_a_hook_and_a_default(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Post()):
        post = await client.discover("post", timeout=PATIENCE)
        assert await post.send({}) == await client.remote(Post).send(Parcel()) == 7
        assert await post.send({"seal": 3}) == 3
