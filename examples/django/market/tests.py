"""`python manage.py test` runs them, without a RabbitMQ."""

from django.test import TransactionTestCase

from leveret import method
from leveret.contrib.django.testing import serving
from market.models import Price
from market.services import Prices


class FixedPrices(Prices, name="prices"):
    """In place of the real service, for tests of views."""

    @method(timeout=5, idempotent=True)
    async def quote(self, sku: str, count: int) -> int:
        return 7 * count


class Views(TransactionTestCase):
    def test_a_view_asks_the_service(self) -> None:
        with serving(FixedPrices()):
            assert self.client.get("/quote/carrot/3").json() == {"cents": 21}

    def test_without_the_service_a_view_says_so(self) -> None:
        with serving():
            assert self.client.get("/quote/carrot/3").status_code == 501


class WithTheDatabase(TransactionTestCase):
    def setUp(self) -> None:
        Price.objects.all().delete()
        Price.objects.create(sku="carrot", cents=20)
        self.enterContext(serving(Prices()))

    def test_the_service_reads_the_database(self) -> None:
        assert self.client.get("/quote/carrot/3").json() == {"cents": 60}
        assert self.client.get("/quote/truffle/1").status_code == 404

    async def test_an_async_view_makes_several_calls_at_once(self) -> None:
        response = await self.async_client.get("/basket/carrot,carrot")
        assert response.json() == {"cents": 40}
