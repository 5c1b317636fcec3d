"""For tests of Django projects: services on a broker in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.test import override_settings

import leveret
import leveret.blocking
from leveret.blocking.loop_thread import LoopThread
from leveret.contrib.django.connection import get_rabbit
from leveret.contrib.django.settings import read_settings
from leveret.testing import Broker

__all__ = ["serving"]


@contextmanager
def serving(*services: leveret.Service) -> Iterator[leveret.blocking.Rabbit]:
    """Serve services for the length of a block; `get_rabbit` leads to them meanwhile.

    ::

        class QuoteTests(TestCase):
            def test_a_quote(self) -> None:
                with serving(CheapPrices()):
                    response = self.client.get("/quote/carrot/3")

    Each block has a broker in memory of its own. Handlers run in other threads than the test: they
    do not see what a `TestCase` has written in its transaction; a `TransactionTestCase` has none.
    For async tests enter it in `setUp`: `self.enterContext(serving(CheapPrices()))`.

    :raises ContractError: if what is given cannot be served.
    """
    with Broker() as broker, override_settings(LEVERET=_with_url(broker.url)):
        thread = LoopThread("leveret test server", lambda: None)
        server = leveret.connect(broker.url)

        async def serve() -> None:
            await server
            if services:
                await server.serving(*services)

        try:
            thread.run(serve())
            yield get_rabbit()
        finally:
            thread.stop(server.close)


def _with_url(url: str) -> dict[str, object]:
    settings = read_settings()
    return {"URL": url, "OPTIONS": settings.options, "SERVICES": settings.services}
