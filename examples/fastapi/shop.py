"""The service, and what travels: `leveret serve shop:Shop`."""

from pydantic import BaseModel, Field

from leveret import DeclaredError, Service, method


class Order(BaseModel):
    sku: str = Field(min_length=1)
    count: int = Field(ge=1, le=100)


class Receipt(BaseModel):
    sku: str
    count: int
    left: int


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int


class Shop(Service):
    """Sells what is in stock."""

    def __init__(self) -> None:
        self._stock = {"carrot": 10, "hay": 1}

    @method(timeout=2, raises=[OutOfStock])
    async def order(self, order: Order) -> Receipt:
        left = self._stock.get(order.sku, 0)
        if left < order.count:
            raise OutOfStock(order.sku, left)
        self._stock[order.sku] = left - order.count
        return Receipt(sku=order.sku, count=order.count, left=left - order.count)
