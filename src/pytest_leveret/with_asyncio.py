"""The clients of tests that pytest-asyncio runs: one for each scope that a test's loop may have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal

import pytest_asyncio

if TYPE_CHECKING:
    from leveret import Rabbit
    from leveret.testing import Broker

__all__: list[str] = []


def _client_in(scope: Literal["function", "class", "module", "package", "session"]) -> Any:
    """A fixture of one test, in a loop that may be that of several."""

    @pytest_asyncio.fixture(loop_scope=scope, name=f"_leveret_client_in_{scope}")
    async def client(leveret_broker: Broker) -> AsyncIterator[Rabbit]:
        import leveret  # noqa: PLC0415 - only tests that ask for it pay for it

        async with leveret.connect(leveret_broker.url) as rabbit:
            yield rabbit

    return client


in_function = _client_in("function")
in_class = _client_in("class")
in_module = _client_in("module")
in_package = _client_in("package")
in_session = _client_in("session")
