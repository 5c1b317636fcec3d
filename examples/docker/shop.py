"""The service that the image serves."""

from leveret import DeclaredError, Service, method


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int


class Shop(Service):
    def __init__(self) -> None:
        self._stock = {"carrot": 10}

    @method(raises=[OutOfStock])
    async def order(self, sku: str, count: int = 1) -> int:
        """Sell some, and tell how many are left."""
        left = self._stock.get(sku, 0)
        if left < count:
            raise OutOfStock(sku, left)
        self._stock[sku] = left - count
        return left - count
