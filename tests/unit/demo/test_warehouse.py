"""The service that fails in many ways."""

from __future__ import annotations

import asyncio

import pytest

from leveret.demo.warehouse import OutOfStock, Warehouse


async def test_the_stock_runs_out() -> None:
    warehouse = Warehouse()
    assert await warehouse.reserve("carrot", 2) == 1
    assert await warehouse.count("carrot", 0) == 1
    with pytest.raises(OutOfStock) as caught:
        await warehouse.reserve("carrot", 2)
    assert (caught.value.sku, caught.value.left) == ("carrot", 1)


async def test_handlers_say_when_they_begin_and_that_they_are_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warehouse = Warehouse()
    assert await warehouse.pack(0) == "packed"
    await warehouse.ship(0)
    packing = asyncio.create_task(warehouse.pack(60))
    await asyncio.sleep(0)
    packing.cancel()
    await asyncio.gather(packing, return_exceptions=True)
    assert capsys.readouterr().out.split("\n") == [
        "packing",
        "shipping",
        "packing",
        "packing was cancelled",
        "",
    ]
