"""`leveret schema`: describes a service in JSON Schema."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.cli.exits import exit_code
from leveret.cli.printing import print_error, print_json
from leveret.cli.targets import find_target
from leveret.contract import service_schema
from leveret.errors import LeveretError

__all__ = ["CODES", "schema"]

CODES: Final = (0, 2, 11)
"""The exit codes that it can have."""


def schema(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:SERVICE", help="A service class or an instance.")
    ],
) -> None:
    """Print a service's methods, with their JSON Schemas, as JSON. Needs no broker."""
    try:
        described = service_schema(find_target(target))
    except LeveretError as error:
        print_error(error)
        raise typer.Exit(exit_code(error)) from None
    print_json(described)
