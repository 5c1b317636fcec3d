"""`leveret_client` where pytest-asyncio runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from leveret import Rabbit
    from leveret.testing import Broker

__all__ = ["leveret_client"]


@pytest_asyncio.fixture
async def leveret_client(leveret_broker: Broker) -> AsyncIterator[Rabbit]:
    """A `Rabbit` that is connected to this test's `leveret_broker`."""
    import leveret  # noqa: PLC0415 - only tests that ask for it pay for it

    async with leveret.connect(leveret_broker.url) as rabbit:
        yield rabbit
