"""A command line whose help is written as the output of its commands is.

Where nobody reads it to its end, as with `| head`, that changes no exit code; where a full disk
does not take it, one line says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from leveret.cli.printing import writing_output

__all__ = ["CommandLine"]


_NOBODY_READS: Final = suppress(SystemExit)
"""Rich then ends the process, with code 1, once it has the rest go nowhere."""


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        with writing_output(), _NOBODY_READS:
            super().format_help(ctx, formatter)


class _Group(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        with writing_output(), _NOBODY_READS:
            super().format_help(ctx, formatter)


class CommandLine(typer.Typer):
    """Commands, to be registered as with typer; takes what that takes, but `cls`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, no_args_is_help=True, **settings)

    def command(  # type: ignore[override]  # it names all settings
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a command."""
        return super().command(name, cls=_Command, **settings)
