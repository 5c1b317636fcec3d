"""`leveret version`, and the option `--version`."""

from __future__ import annotations

import typer

from leveret import __version__
from leveret.cli.exits import DONE
from leveret.cli.printing import print_result

__all__ = ["print_version", "version"]


def version() -> None:
    """Print the version."""
    print_version(True)


def print_version(wanted: bool) -> None:
    """Print the version and exit, if `wanted`."""
    if wanted:
        print_result(f"leveret {__version__}", as_json=False)
        raise typer.Exit(DONE)
