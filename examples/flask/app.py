"""A Flask application, and the service that it calls.

leveret serve app:Prices         # in one terminal
flask --app app run              # in another; or gunicorn --preload --workers 2 app:app
"""

from collections.abc import AsyncIterator

from flask import Flask, Response

import leveret
import leveret.blocking
from leveret import DeclaredError, Service, method

CENTS = {"carrot": 30, "hay": 500}


class UnknownProduct(DeclaredError):
    """There is no such product."""

    sku: str


class Prices(Service):
    @method(timeout=5, idempotent=True, raises=[UnknownProduct])
    async def quote(self, sku: str, count: int) -> int:
        """Return the price in cents."""
        if sku not in CENTS:
            raise UnknownProduct(sku)
        return CENTS[sku] * count

    @method
    async def all(self) -> AsyncIterator[tuple[str, int]]:
        for sku, cents in CENTS.items():
            yield sku, cents


app = Flask(__name__)
rabbit = leveret.blocking.connect()  # connects with the first call: in each worker by itself
prices = rabbit.remote(Prices)


@app.get("/quote/<sku>/<int:count>")
def quote(sku: str, count: int) -> dict[str, int]:
    return {"cents": rabbit.run(prices.quote(sku, count))}


@app.get("/prices.csv")
def export() -> Response:
    """A stream of the service is a stream of lines."""
    lines = (f"{sku},{cents}\n" for sku, cents in rabbit.each(prices.all()))
    return Response(lines, mimetype="text/csv")


@app.errorhandler(leveret.CallError)
def failed(error: leveret.CallError) -> tuple[dict[str, str], int]:
    return {"error": str(error)}, leveret.http_status(error.code, {UnknownProduct.code: 404})
