"""Models of pydantic as arguments, results and fields of errors, with their own rules."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass

from leveret import DeclaredError, InvalidArgument, InvalidResult, Rabbit, Service, method

T = TypeVar("T")


class Line(BaseModel):
    sku: str
    count: int = Field(ge=1)


class Order(BaseModel):
    lines: list[Line]
    note: str | None = None


@dataclass
class Receipt:
    order: Order
    total: Annotated[float, Field(gt=0)]


class SoldOut(DeclaredError):
    """It is sold out."""

    line: Line
    left: int = 0


class Repo(Service, Generic[T]):
    @method
    async def save(self, x: T) -> T:
        return x


class Orders(Repo[Order]): ...


class Shop(Service):
    def __init__(self) -> None:
        self.result: Any = None

    @method(raises=[SoldOut])
    async def order(self, order: Order, times: int = 1, gift: Line | None = None) -> list[Receipt]:
        if order.note == "sold out":
            raise SoldOut(order.lines[0])
        if self.result is not None:
            return self.result  # type: ignore[no-any-return]
        return [Receipt(order, 1.5)] * times


ORDER = Order(lines=[Line(sku="carrot", count=2)])
WRONG = Order(lines=[Line.model_construct(sku="carrot", count=0)])


@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_models_travel_and_both_sides_hold_their_rules(
    client: Rabbit, host: Rabbit, content_type: str
) -> None:
    shop = Shop()
    remote = client.remote(Shop).with_options(content_type=content_type)
    by_name = client.with_options(content_type=content_type)
    with pytest.raises(InvalidArgument, match=r"equal to 1 - at `\$\.order\.lines\[0\]\.count`"):
        await remote.order(WRONG)  # by the client: no server is there
    async with host.serving(shop, Orders()):
        assert await remote.order(ORDER, times=2) == [Receipt(ORDER, 1.5)] * 2
        assert await remote.order(ORDER, gift=Line(sku="a", count=1)) == [Receipt(ORDER, 1.5)]
        with pytest.raises(SoldOut) as sold_out:
            await remote.order(ORDER.model_copy(update={"note": "sold out"}))
        assert sold_out.value.line == Line(sku="carrot", count=2)
        with pytest.raises(InvalidArgument, match=r"at `\$\.order\.lines\[0\]\.count`"):
            await by_name.call("shop.order", order={"lines": [{"sku": "a", "count": 0}]})
        plain = await by_name.call("shop.order", order=ORDER)
        assert plain[0]["order"]["lines"] == [{"sku": "carrot", "count": 2}]
        shop.result = [Receipt(WRONG, 1.5)]
        with pytest.raises(InvalidResult, match=r"at `\$\[0\]\.order\.lines\[0\]\.count`"):
            await remote.order(ORDER)
        assert await client.remote(Orders).save(ORDER) == ORDER
