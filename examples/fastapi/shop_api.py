"""An HTTP API that calls the service: `uvicorn shop_api:app`."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from shop import Order, Receipt, Shop

import leveret
from leveret.contrib.asgi import Lifespan, problem_of

STATUSES = {"OUT_OF_STOCK": 409}

rabbit = leveret.connect(lazy=True, name="shop-api")  # to the broker of LEVERET_URL
remote_shop = rabbit.remote(Shop)
lifespan = Lifespan(rabbit)

app = FastAPI(title="Shop", lifespan=lifespan)
app.mount("/health", lifespan.health)  # /health/livez and /health/readyz


def shop() -> Shop:
    return remote_shop


@app.post("/orders", status_code=201)
async def order(order: Order, shop: Annotated[Shop, Depends(shop)]) -> Receipt:
    return await shop.order(order)


@app.exception_handler(leveret.LeveretError)
async def on_leveret_error(request: Request, error: leveret.LeveretError) -> Response:
    problem = problem_of(error, STATUSES)
    return Response(problem.body, problem.status, problem.headers)
