"""What a model of pydantic costs beside a struct of msgspec: the rate of calls with one each way.

    python -m bench.models [URL]

Measured as `bench.metadata` measures: in calls per second of processor time of one process, which
has client, server and, with `embedded://`, the default, the broker. 100 calls are in flight.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import msgspec
from pydantic import BaseModel, Field

import leveret
from bench.metadata import IN_FLIGHT, ROUNDS, rate
from leveret import Service, method


class Line(msgspec.Struct):
    """A line of an order, as a struct."""

    sku: str
    count: int
    price: float


class Order(msgspec.Struct):
    """An order, as a struct."""

    id: str
    lines: list[Line]


class LineModel(BaseModel):
    """The same line, as a model."""

    sku: str
    count: int = Field(ge=0)
    price: float


class OrderModel(BaseModel):
    """The same order, as a model."""

    id: str
    lines: list[LineModel]


class Orders(Service):
    """Gives back what it gets."""

    @method(timeout=30)
    async def struct(self, order: Order) -> Order:
        return order

    @method(timeout=30)
    async def model(self, order: OrderModel) -> OrderModel:
        return order


async def main(url: str) -> None:
    """Measure, and print a line."""
    struct = Order("4711", [Line(f"carrot {n}", n, 0.3) for n in range(3)])
    model = OrderModel.model_validate(msgspec.to_builtins(struct))
    async with (
        leveret.connect(url) as host,
        host.serving(Orders(), concurrency=2 * IN_FLIGHT),
        leveret.connect(url) as client,
    ):
        orders = client.remote(Orders)
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "msgspec": lambda: orders.struct(struct),
            "pydantic": lambda: orders.model(model),
        }
        best = dict.fromkeys(ways, 0.0)
        for number in range(ROUNDS + 1):
            for name, one in ways.items():
                measured = await rate(one)
                best[name] = max(best[name], measured if number else 0.0)
    ratio = best["pydantic"] / best["msgspec"]
    print(
        f"an order of 3 lines there and back: {best['msgspec']:,.0f} calls/s as a struct of"
        f" msgspec, {best['pydantic']:,.0f} as a model of pydantic ({ratio:.2f})"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
