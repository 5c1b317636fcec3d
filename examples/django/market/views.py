from asyncio import gather

from django.http import HttpRequest, HttpResponse, JsonResponse

import leveret
from leveret.contrib.django import arun, get_rabbit
from market.services import Prices, UnknownProduct


def quote(request: HttpRequest, sku: str, count: int) -> HttpResponse:
    rabbit = get_rabbit()
    try:
        cents = rabbit.run(rabbit.remote(Prices).quote(sku, count))
    except leveret.CallError as error:
        status = leveret.http_status(error.code, {UnknownProduct.code: 404})
        return JsonResponse({"error": str(error)}, status=status)
    return JsonResponse({"cents": cents})


async def basket(request: HttpRequest, skus: str) -> HttpResponse:
    """An async view waits with `arun`, here for several calls at once: /basket/carrot,hay."""
    prices = get_rabbit().remote(Prices)
    found = await gather(*(arun(prices.quote(sku, 1)) for sku in skus.split(",")))
    return JsonResponse({"cents": sum(found)})
