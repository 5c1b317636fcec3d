"""A bar on standard error that shows how far a call is, where standard error is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from leveret.cli.printing import one_line
from leveret.contract import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["ProgressBar", "is_terminal"]


def is_terminal() -> bool:
    """Whether somebody could see a bar."""
    return sys.stderr.isatty()


class ProgressBar:
    """Comes with the first report, and goes without a trace at the end of the block.

    :param console: where it is drawn; None: standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._task: TaskID

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show a report. Without a fraction the bar moves to and fro."""
        if self._bar is None:
            self._bar = self._start()
        total = None if progress.fraction is None else 1.0
        # The text comes from a server: it may hold anything.
        self._bar.update(
            self._task,
            total=total,
            completed=progress.fraction or 0.0,
            description=one_line(progress.text),
            refresh=True,
        )

    def _start(self) -> Bar:
        # Slow to import, and most calls report nothing.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        console = self._console or Console(stderr=True)
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
        )
        bar = Bar(*columns, console=console, transient=True)
        self._task = bar.add_task("", total=None)
        bar.start()
        return bar
