"""`leveret demo`: shows what Leveret does."""

from __future__ import annotations

from typing import Annotated, Final

import typer

__all__ = ["CODES", "demo"]

CODES: Final = (0, 1, 2, 130)
"""The exit codes that it can have."""


def demo(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_URL", help="The broker.", show_default="an embedded one, in memory"
        ),
    ] = None,
) -> None:
    """Show what Leveret does, and how calls fail, in a few seconds.

    On another broker than its own, it deletes the queues that it made.
    """
    from leveret.demo import run_demo  # noqa: PLC0415 - its services are of no use to other commands

    raise typer.Exit(run_demo(url))
