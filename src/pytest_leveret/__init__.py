"""The pytest plugin: `leveret_broker`, `leveret_client`.

It is a package of its own, beside `leveret`, because pytest imports plugins at every start, also
for tests that have nothing to do with Leveret: here they pay for an import of pytest, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from leveret.testing import Broker

__all__ = ["leveret_broker"]


@pytest.fixture
def leveret_broker() -> Iterator[Broker]:
    """An embedded AMQP broker for this test alone: `leveret_broker.url`. Any client can use it."""
    from leveret.testing import Broker  # noqa: PLC0415 - only tests that ask for it pay for it

    with Broker() as broker:
        yield broker


def pytest_configure(config: pytest.Config) -> None:
    """Add `leveret_client`: what makes an async fixture depends on the plugins of this run."""
    plugins = config.pluginmanager
    plugins.import_plugin("pytest_leveret.client")
    if plugins.hasplugin("asyncio"):
        plugins.import_plugin("pytest_leveret.with_asyncio")
