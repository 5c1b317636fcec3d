"""Services with all that an AsyncAPI document has to tell, and that documents for people show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import numpy as np
from pydantic import BaseModel, Field

from leveret import DeclaredError, Hedge, Meta, Retry, Service, method


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Item(msgspec.Struct, kw_only=True):
    """What is sold."""

    sku: Annotated[str, Meta(min_length=1, max_length=20, description="Its name in stock")]
    price: Decimal
    tags: list[str] = []
    parent: Item | None = None


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Size(TypedDict):
    width: int


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Order(BaseModel):
    count: int = Field(ge=1)
    at: datetime


class OutOfStock(DeclaredError):
    """There are not enough."""

    sku: str
    left: int = 0


class Closed(DeclaredError):
    """It is closed."""


class Shop(Service, name="shop"):
    """Sells items."""

    @method(
        raises=[OutOfStock, Closed],
        timeout=3,
        idempotent=True,
        retry=Retry(attempts=4),
        hedge=Hedge(after=0.2),
        queue="quorum",
        max_length=50,
        expires=60,
    )
    async def order(
        self,
        item: Item,
        count: Annotated[int, Meta(ge=1, lt=100)] = 1,
        *,
        color: Color = Color.RED,
        at: date | None = None,
    ) -> Item:
        """Order an item.

        It is sent | at once, to <the address> of the `caller`.
        """
        return item

    @method(retry=False)
    async def pets(
        self,
        pet: Cat | Dog,
        size: Size,
        pair: Pair,
        raw: bytes,
        kind: Literal["a", 1],
        counts: dict[str, list[Annotated[int, Meta(gt=0)]]],
        both: tuple[int, str],
        some: set[int],
        anything: Any,
    ) -> None: ...

    @method(resume=True, idempotent=True)
    async def watch(self, after: int) -> AsyncIterator[Item]:
        yield Item(sku="a", price=Decimal(1))

    @method
    async def put(self, name: str, items: AsyncIterator[bytes]) -> int:
        return 0

    @method
    async def turn(self, *, items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield item

    @method
    async def buy(self, order: Order) -> Order | None:
        return order

    @method(one_way=True, keep_failed=True)
    async def note(self, line: str) -> None: ...

    @method
    async def scale(self, values: np.ndarray) -> np.ndarray:
        return values

    @method(content_type="application/octet-stream")
    async def pack(self, data: bytes) -> bytes:
        return data

    @method(content_type="text/plain", priority_levels=5, once=True)
    async def shout(self, text: str) -> str:
        return text


class _Names:
    class Item(msgspec.Struct):
        """Another class of this name."""

        weight: float


class Depot(Service, name="depot"):
    @method
    async def weigh(self, item: _Names.Item) -> float:
        return item.weight
