"""What the tests share: the service, served on an embedded broker of each test's own."""

from collections.abc import AsyncIterator

import pytest_asyncio
from bank import Bank

from leveret import Rabbit


@pytest_asyncio.fixture
async def bank(leveret_client: Rabbit) -> AsyncIterator[Bank]:
    """A remote of the bank: each call goes over a broker, in both directions."""
    async with leveret_client.serving(Bank()):
        yield leveret_client.remote(Bank)
