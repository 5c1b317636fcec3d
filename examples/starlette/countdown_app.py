"""A web app that serves a service and streams from it to browsers: `uvicorn countdown_app:app`."""

from collections.abc import AsyncIterator

import prometheus_client
from countdown import Countdown
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route

import leveret
import leveret.metrics
from leveret.contrib.asgi import Lifespan, problem_of


async def events(request: Request) -> Response:
    """Server-sent events, which a browser's `EventSource` reads."""
    rabbit: leveret.Rabbit = request.state.rabbit
    pause = float(request.query_params.get("pause", 1))

    async def lines() -> AsyncIterator[str]:
        try:  # a browser that leaves ends the handler as well
            async for n in rabbit.remote(Countdown).down(request.path_params["start"], pause):
                yield f"data: {n}\n\n"
        except leveret.LeveretError as error:  # too late for a status
            yield f"event: problem\ndata: {problem_of(error).body.decode()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def last(request: Request) -> Response:
    rabbit: leveret.Rabbit = request.state.rabbit
    return Response(str(await rabbit.remote(Countdown).last()))


async def on_leveret_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, leveret.LeveretError)
    problem = problem_of(error)
    return Response(problem.body, problem.status, problem.headers)


def make_app(rabbit: leveret.Rabbit) -> Starlette:
    lifespan = Lifespan(rabbit, Countdown(), grace=20)
    leveret.metrics.register()  # what the app calls and serves, for Prometheus
    return Starlette(
        routes=[
            Route("/countdown/{start:int}", events),
            Route("/last", last),
            Mount("/health", app=lifespan.health),  # /health/livez and /health/readyz
            Mount("/metrics", app=prometheus_client.make_asgi_app()),
        ],
        lifespan=lifespan,
        exception_handlers={leveret.LeveretError: on_leveret_error},
    )


app = make_app(leveret.connect(lazy=True, name="countdown"))  # to the broker of LEVERET_URL
