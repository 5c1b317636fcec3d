"""Tests of the API: with the service itself in place of a remote, and over the embedded broker."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from shop import Shop
from shop_api import app, shop

from leveret import Rabbit

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client
    app.dependency_overrides.clear()


async def test_an_order_without_a_broker(http: httpx.AsyncClient) -> None:
    app.dependency_overrides[shop] = Shop
    answer = await http.post("/orders", json={"sku": "carrot", "count": 3})
    assert answer.status_code == 201
    assert answer.json() == {"sku": "carrot", "count": 3, "left": 7}


async def test_pydantic_refuses_an_order_before_there_is_a_call(http: httpx.AsyncClient) -> None:
    answer = await http.post("/orders", json={"sku": "carrot", "count": 0})
    assert answer.status_code == 422


async def test_orders_over_a_broker(http: httpx.AsyncClient, leveret_client: Rabbit) -> None:
    app.dependency_overrides[shop] = lambda: leveret_client.remote(Shop)
    async with leveret_client.serving(Shop()):
        answer = await http.post("/orders", json={"sku": "hay", "count": 1})
        assert answer.json() == {"sku": "hay", "count": 1, "left": 0}
        answer = await http.post("/orders", json={"sku": "hay", "count": 1})
        assert answer.status_code == 409
        assert answer.json()["data"] == {"sku": "hay", "left": 0}


async def test_nobody_serves(http: httpx.AsyncClient, leveret_client: Rabbit) -> None:
    app.dependency_overrides[shop] = lambda: leveret_client.remote(Shop)
    async with leveret_client.serving(Shop()):
        pass
    answer = await http.post("/orders", json={"sku": "hay", "count": 1})
    assert answer.status_code == 503
    assert answer.json()["executed"] == "no"


async def test_health_says_that_there_is_no_broker(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/livez")).status_code == 200
    answer = await http.get("/health/readyz")
    assert answer.status_code == 503
    assert answer.json()["why"] == ["the connection to the broker: connecting"]
