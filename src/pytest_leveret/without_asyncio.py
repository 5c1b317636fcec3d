"""`leveret_client` where pytest-asyncio does not run: it says so."""

from __future__ import annotations

import pytest

__all__ = ["leveret_client"]


@pytest.fixture
def leveret_client() -> None:
    """A connected `Rabbit`; needs pytest-asyncio."""
    pytest.fail(
        "the fixture leveret_client needs pytest-asyncio: pip install pytest-asyncio."
        " Without it, connect in the test: leveret.connect(leveret_broker.url)",
        pytrace=False,
    )
