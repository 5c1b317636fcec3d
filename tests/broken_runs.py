"""What the end of a broken run says again: what broke it, and which tests failed before.

A run of pytest-xdist ends where pytest itself fails in a worker. Its report of that is hundreds of
lines long and comes first; the names of the tests that failed never come.
"""

from __future__ import annotations

import pytest

_LINES = 15
"""Of each report so many lines are said again: the last ones name the error."""


class BrokenRuns:
    """A plugin of pytest in the process that leads the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed = list[str]()
        self._broke = ""
        """The first report: those that come after it are its consequence."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear of each phase of a test, from the workers too."""
        if report.failed:
            self._failed.append(f"{report.when} of {report.nodeid}\n{_end_of(report.longreprtext)}")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Hear that pytest failed, here or in a worker."""
        self._broke = self._broke or str(excrepr)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Say it, after pytest has said all that it has to say."""
        if not self._broke:
            return
        terminal = self._config.get_terminal_writer()
        for failed in self._failed:
            terminal.line(f"FAILED BEFORE: {failed}")
        terminal.line(f"THE RUN WAS BROKEN BY:\n{_end_of(self._broke)}")


def _end_of(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])
