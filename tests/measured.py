"""The tests whose coverage is measured, and coverage.py in each process that runs tests.

Python before 3.14 traces branches at twice the processor time. So coverage.py measures what runs
while Leveret is imported, and the measured tests, which come first. It rests while pytest imports
the tests, and ends with the first test that is not measured.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import leveret
import pytest_leveret

if TYPE_CHECKING:
    from coverage import Coverage

_UNIT: Final = Path(__file__).parent / "unit"
_BEHAVIOUR: Final = frozenset(
    {
        "test_ask_all.py",
        "test_ask_one.py",
        "test_calls.py",
        "test_cancelling.py",
        "test_console.py",
        "test_consuming.py",
        "test_control.py",
        "test_declaring.py",
        "test_discover.py",
        "test_draining.py",
        "test_embedded_url.py",
        "test_failed_requests.py",
        "test_handler_errors.py",
        "test_metadata.py",
        "test_once.py",
        "test_one_way.py",
        "test_pipes.py",
        "test_progress.py",
        "test_publishing.py",
        "test_redelivery.py",
        "test_retries.py",
        "test_seen_from_outside.py",
        "test_started_calls.py",
        "test_streams_client.py",
        "test_streams_on_the_wire.py",
        "test_streams_server.py",
        "test_tracing.py",
        "test_unavailable.py",
        "test_uploads_client.py",
        "test_web_apps.py",
        "test_without_asyncio.py",
    }
)
"""The behaviour tests that are measured, on the embedded broker, beside all unit tests."""


def is_measured(item: pytest.Item) -> bool:
    """Whether a test that needs no RabbitMQ is measured.

    Those of Hypothesis are not: they take very long when traced.
    """
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return False
    return item.path.name in _BEHAVIOUR or item.path.is_relative_to(_UNIT)


class Measuring:
    """coverage.py in this process, where it was started with it."""

    def __init__(self) -> None:
        self._coverage: Coverage | None = None
        if "coverage" in sys.modules:
            self._coverage = sys.modules["coverage"].Coverage.current()

    @property
    def goes_on(self) -> bool:
        """Whether the tests that are to come are measured, if they are those that count."""
        return self._coverage is not None

    @contextmanager
    def rests(self) -> Iterator[None]:
        """Measure nothing in this block, where pytest imports the tests.

        What they import of Leveret is imported before: what runs then counts.
        """
        if self._coverage is None:
            yield
            return
        for package in (leveret, pytest_leveret):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith(".__main__"):
                    importlib.import_module(module.name)
        self._coverage.stop()
        yield
        self._coverage.start()

    def end(self) -> None:
        """Measure no more: neither this process nor the programs that it starts from now on."""
        if self._coverage is not None:
            self._coverage.stop()
            self._coverage.save()
            self._coverage = None
            for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
                os.environ.pop(name, None)
