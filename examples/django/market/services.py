"""What `manage.py runleveret` serves: a service that reads the project's models."""

from leveret import DeclaredError, Service, method
from leveret.contrib.django import uses_database
from market.models import Price


class UnknownProduct(DeclaredError):
    """There is no such product."""

    sku: str


class Prices(Service):
    @method(timeout=5, idempotent=True, raises=[UnknownProduct])
    @uses_database
    def quote(self, sku: str, count: int) -> int:
        """Return the price in cents."""
        price = Price.objects.filter(sku=sku).first()
        if price is None:
            raise UnknownProduct(sku)
        return price.cents * count
