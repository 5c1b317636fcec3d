"""How pytest-xdist shares out the tests: unit tests in handfuls, all others one by one.

Most unit tests take a millisecond. To share out one takes the process that leads the run about as
long, and it has to be asked again each time.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadGroupScheduling

_HANDFUL: Final = 20
"""Tests at most, so that no worker waits for another that has many before it."""


class Handfuls:
    """The scope of each test: unit tests of one file that follow each other share one.

    Those that come later in the run than others of their file, as those of Hypothesis do where
    coverage is measured, take longer: each has a scope of its own.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, str] = {}
        self._files: set[str] = set()
        self._last = ("", "", 0)
        """The file and the scope of the last handful, and how many tests it has."""

    def of(self, test: str) -> str:
        """The scope of a test; the first time, tests are asked for in the order of the run."""
        if test not in self._scopes:
            self._scopes[test] = self._next(test)
        return self._scopes[test]

    def _next(self, test: str) -> str:
        file = test.partition("::")[0]
        last, scope, size = self._last
        if file != last:
            self._last = ("", "", 0)
            if not file.startswith("tests/unit/") or file in self._files:
                return test
            self._files.add(file)
        if file != last or size == _HANDFUL:
            scope, size = test, 0
        self._last = (file, scope, size + 1)
        return scope


class Scheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """As `--dist loadgroup`, but in handfuls."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._handfuls = Handfuls()

    def _split_scope(self, nodeid: str) -> str:
        group = str(super()._split_scope(nodeid))
        return group if group != nodeid else self._handfuls.of(nodeid)

    def _pending_of(self, workload: dict[str, dict[str, bool]]) -> int:
        """How many tests a worker has before it: it runs them in their order.

        pytest-xdist looks through all that the worker has ever had, after each test.
        """
        pending = 0
        for unit in reversed(workload.values()):
            left = list(unit.values()).count(False)
            if not left:
                break
            pending += left
        return pending
