"""`leveret.contrib.asgi` in apps of Starlette, FastAPI and Litestar, over a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import fastapi
import fastapi.responses
import httpx
import litestar
import pytest
import starlette.requests
import starlette.responses
from litestar.params import FromPath
from litestar.types import ASGIApp
from starlette.applications import Starlette
from starlette.routing import Mount, Route

import leveret
from leveret import ContractError, DeclaredError, Rabbit, Service, method
from leveret.contrib.asgi import Lifespan, problem_of
from leveret.testing import FaultProxy
from tests.behaviour.asgi_apps import App, StartFailed, running
from tests.behaviour.patience import PATIENCE, until, until_found
from tests.behaviour.services import Gate

STATUSES = {"SOLD_OUT": 409}


class SoldOut(DeclaredError):
    """There is nothing left."""

    sku: str


class Shop(Service):
    @method(raises=[SoldOut])
    async def order(self, sku: str) -> str:
        if sku == "hay":
            raise SoldOut(sku)
        if sku == "turnip":
            raise KeyError(sku)
        return f"one {sku}"


class ShorterShop(Service, name="shop"):
    """As `Shop`, with another queue."""

    @method(max_length=1)
    async def order(self, sku: str) -> str:
        return sku


def of_starlette(lifespan: Lifespan) -> App:
    async def order(request: starlette.requests.Request) -> starlette.responses.Response:
        shop = request.state.rabbit.remote(Shop)
        return starlette.responses.PlainTextResponse(await shop.order(request.path_params["sku"]))

    async def on_error(
        request: starlette.requests.Request, error: Exception
    ) -> starlette.responses.Response:
        assert isinstance(error, leveret.LeveretError)
        problem = problem_of(error, STATUSES)
        return starlette.responses.Response(problem.body, problem.status, problem.headers)

    return Starlette(
        routes=[Route("/orders/{sku}", order), Mount("/health", app=lifespan.health)],
        lifespan=lifespan,
        exception_handlers={leveret.LeveretError: on_error},
    )


def of_fastapi(lifespan: Lifespan) -> App:
    app = fastapi.FastAPI(lifespan=lifespan)
    app.mount("/health", lifespan.health)

    @app.get("/orders/{sku}", response_class=fastapi.responses.PlainTextResponse)
    async def order(sku: str, request: fastapi.Request) -> str:
        rabbit: Rabbit = request.state.rabbit
        return await rabbit.remote(Shop).order(sku)

    @app.exception_handler(leveret.LeveretError)
    async def on_error(request: fastapi.Request, error: leveret.LeveretError) -> fastapi.Response:
        problem = problem_of(error, STATUSES)
        return fastapi.Response(problem.body, problem.status, problem.headers)

    return app


def of_litestar(lifespan: Lifespan) -> App:
    @litestar.get("/orders/{sku:str}", media_type="text/plain")
    async def order(sku: FromPath[str]) -> str:
        return await lifespan.rabbit.remote(Shop).order(sku)

    def on_error(request: Any, error: leveret.LeveretError) -> litestar.Response[bytes]:
        problem = problem_of(error, STATUSES)
        return litestar.Response(problem.body, status_code=problem.status, headers=problem.headers)

    health: ASGIApp = lifespan.health  # type: ignore[assignment]
    return litestar.Litestar(
        [order, litestar.asgi("/health", is_mount=True, copy_scope=True)(health)],
        lifespan=[lifespan],
        exception_handlers={leveret.LeveretError: on_error},
        openapi_config=None,
    )


@pytest.fixture(params=[of_starlette, of_fastapi, of_litestar], ids=lambda make: make.__name__)
def framework(request: pytest.FixtureRequest) -> Any:
    return request.param


async def look(client: httpx.AsyncClient, path: str) -> tuple[int, str]:
    answer = await client.get(f"/health/{path}")
    return answer.status_code, answer.json()["status"]


async def test_an_app_calls_what_it_serves_and_its_lazy_start_waits_for_no_broker(
    framework: Any, broker_url: str
) -> None:
    lifespan = Lifespan(leveret.connect(broker_url, lazy=True), Shop())
    assert lifespan.unready == "the connection to the broker: connecting"
    async with running(framework(lifespan)) as client:
        assert (await client.get("/orders/carrot")).status_code in {200, 501}  # does it serve yet?
        await until_found(lambda: look(client, "readyz"), (200, "ready"), "it serves")
        assert (await client.get("/orders/carrot")).text == "one carrot"
    assert lifespan.unready == "the connection to the broker: closed"


async def test_errors_become_problems_in_the_words_of_http(framework: Any, broker_url: str) -> None:
    async with running(framework(Lifespan(leveret.connect(broker_url), Shop()))) as client:
        sold_out = await client.get("/orders/hay")
        assert sold_out.status_code == 409
        assert sold_out.headers["content-type"] == "application/problem+json"
        assert sold_out.json()["data"] == {"sku": "hay"}
        failed = await client.get("/orders/turnip")
        assert failed.status_code == 500
        assert failed.json()["executed"] == "yes"
        assert failed.json()["call_id"]
        assert "turnip" not in failed.text


async def test_it_lives_and_is_not_ready_while_the_broker_is_away(
    framework: Any,
) -> None:
    rabbit = leveret.connect("amqp://guest:guest@127.0.0.1:1/", lazy=True)
    async with running(framework(Lifespan(rabbit, Shop()))) as client:
        assert await look(client, "livez") == (200, "alive")
        answer = await client.get("/health/readyz")
        assert answer.status_code == 503
        assert answer.json()["why"] == ["the connection to the broker: connecting"]


async def test_without_lazy_it_is_ready_from_the_start_and_goes_on_in_a_second_life(
    framework: Any, broker_url: str
) -> None:
    app = framework(Lifespan(leveret.connect(broker_url), Shop()))
    for _ in range(2):
        async with running(app) as client:
            assert await look(client, "readyz") == (200, "ready")
            assert (await client.get("/orders/carrot")).text == "one carrot"


async def test_a_service_that_cannot_be_served_ends_the_start_of_an_app(
    framework: Any, broker_url: str
) -> None:
    async with leveret.connect(broker_url) as host, host.serving(Shop()):
        with pytest.raises(StartFailed, match=r"leveret\.shop\.order"):
            async with running(framework(Lifespan(leveret.connect(broker_url), ShorterShop()))):
                pass


@pytest.mark.embedded_only
async def test_a_lazy_app_whose_serving_fails_for_good_is_dead_and_says_why(
    broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with leveret.connect(broker_url) as host, host.serving(Shop()):
        lifespan = Lifespan(leveret.connect(broker_url, lazy=True), ShorterShop())
        async with running(of_starlette(lifespan)) as client:
            await until_found(lambda: look(client, "livez"), (503, "dead"), "it has failed")
            answer = await client.get("/health/readyz")
            assert answer.json() == {"status": "not ready", "why": [lifespan.failure]}
            assert "leveret.shop.order" in lifespan.failure
    assert "the web app serves no more until it is started anew" in caplog.text


@pytest.mark.embedded_only
async def test_an_app_whose_connection_is_not_opened_again_is_dead_and_ends_well(
    broker_url: str,
) -> None:
    async with FaultProxy(broker_url) as proxy:
        lifespan = Lifespan(leveret.connect(proxy.url, reconnect=False), Shop())
        async with running(of_starlette(lifespan)) as client:
            assert await look(client, "livez") == (200, "alive")
            proxy.cut()
            await until_found(lambda: look(client, "livez"), (503, "dead"), "it has failed")
            assert await look(client, "readyz") == (503, "not ready")


async def test_calls_that_run_end_before_the_app_does(broker_url: str) -> None:
    gate = Gate()
    lifespan = Lifespan(leveret.connect(broker_url), gate)

    async def open_while_it_drains() -> None:
        await until(lambda: lifespan.unready == "draining", "the app ends")
        gate.opened.set()

    async with leveret.connect(broker_url) as caller:
        async with running(of_starlette(lifespan)):
            call = asyncio.ensure_future(caller.remote(Gate).once(1))
            await gate.started.get()
            opening = asyncio.create_task(open_while_it_drains())
        assert await call == 1
        await opening


@pytest.mark.embedded_only
async def test_an_app_that_serves_nothing_is_ready_while_it_is_connected(broker_url: str) -> None:
    async with (
        leveret.connect(broker_url) as host,
        host.serving(Shop()),
        FaultProxy(broker_url) as proxy,
        running(of_starlette(Lifespan(leveret.connect(proxy.url)))) as client,
    ):
        assert await look(client, "readyz") == (200, "ready")
        assert (await client.get("/orders/carrot")).text == "one carrot"
        proxy.refuse()
        proxy.cut()
        await until_found(lambda: look(client, "readyz"), (503, "not ready"), "it is cut")
        assert await look(client, "livez") == (200, "alive")


def test_an_option_that_cannot_be_is_refused_when_the_app_is_made() -> None:
    with pytest.raises(ContractError, match="concurrency"):
        Lifespan(leveret.connect(lazy=True), Shop(), concurrency=0)


async def test_a_browser_that_leaves_ends_the_stream_that_it_was_sent(broker_url: str) -> None:
    class Feed(Service):
        def __init__(self) -> None:
            self.left = asyncio.Event()

        @method
        async def all(self) -> AsyncIterator[int]:
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                self.left.set()

    feed = Feed()
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(feed):

        async def lines() -> AsyncIterator[str]:
            async for n in rabbit.remote(Feed).all():
                yield str(n)

        gone = asyncio.Event()

        async def receive() -> dict[str, object]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(event: MutableMapping[str, Any]) -> None:
            if event.get("body") == b"1":
                gone.set()

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        answer = starlette.responses.StreamingResponse(lines())
        async with asyncio.timeout(PATIENCE):
            await answer(scope, receive, send)
            await feed.left.wait()
