"""`leveret_client`: in the event loop of the test that asks for it, whichever plugin has that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from leveret import Rabbit
    from leveret.testing import Broker

__all__ = ["leveret_client"]


@pytest.fixture
def leveret_client(request: pytest.FixtureRequest) -> Rabbit:
    """A `Rabbit` connected to this test's `leveret_broker`; needs pytest-asyncio or anyio."""
    client: Rabbit = request.getfixturevalue(_fixture_for(request))
    return client


@pytest.fixture(name="_leveret_client_with_anyio")
async def with_anyio(leveret_broker: Broker) -> AsyncIterator[Rabbit]:
    """For tests that the plugin of anyio runs, which makes this fixture as well."""
    import leveret  # noqa: PLC0415 - only tests that ask for it pay for it

    async with leveret.connect(leveret_broker.url) as rabbit:
        yield rabbit


def _fixture_for(request: pytest.FixtureRequest) -> str:
    """The fixture that connects in the loop of this test."""
    from unittest import IsolatedAsyncioTestCase  # noqa: PLC0415 - it imports asyncio

    if request.cls is not None and issubclass(request.cls, IsolatedAsyncioTestCase):
        pytest.fail(
            "an IsolatedAsyncioTestCase has an event loop of its own, which no fixture runs in:"
            " connect in its asyncSetUp, by"
            " self.rabbit = await self.enterAsyncContext(leveret.connect('embedded://'))",
            pytrace=False,
        )
    if "anyio_backend" in request.fixturenames:  # as anyio itself finds its tests
        backend = request.getfixturevalue("anyio_backend")
        if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
            pytest.fail(
                f"Leveret runs on asyncio, and this test on {backend}: define a fixture"
                " anyio_backend that returns 'asyncio'",
                pytrace=False,
            )
        if request.config.pluginmanager.hasplugin("asyncio") and _asyncio_runs(request.node):
            pytest.fail(
                "pytest-asyncio runs this test, as its asyncio_mode is auto, and anyio its"
                " fixtures, in another event loop: set asyncio_mode = strict, or remove"
                " pytest.mark.anyio and anyio_backend from this test",
                pytrace=False,
            )
        return "_leveret_client_with_anyio"
    if not request.config.pluginmanager.hasplugin("asyncio"):
        pytest.fail(
            "the fixture leveret_client needs pytest-asyncio: pip install pytest-asyncio. Or mark"
            " the test with pytest.mark.anyio, where anyio is installed. Without them, connect in"
            " the test: leveret.connect(leveret_broker.url)",
            pytrace=False,
        )
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        return "_leveret_client_in_function"
    scope = marker.kwargs.get("loop_scope") or request.config.getini(
        "asyncio_default_test_loop_scope"
    )
    return f"_leveret_client_in_{scope}"


def _asyncio_runs(item: pytest.Item) -> bool:
    import pytest_asyncio  # noqa: PLC0415 - it may not be installed

    return bool(pytest_asyncio.is_async_test(item))
