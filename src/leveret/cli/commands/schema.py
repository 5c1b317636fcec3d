"""`leveret schema`: describes services in JSON Schema, or as types of TypeScript."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.cli.contracts import Live, Output, Targets, chosen, one_line_errors, write
from leveret.cli.options import Url
from leveret.cli.printing import as_json_text, print_json
from leveret.documents.typescript import typescript

__all__ = ["CODES", "schema"]

CODES: Final = (0, 2, 3, 5, 7, 9, 10, 11, 13, 70, 130)
"""The exit codes that it can have."""


def schema(
    targets: Targets = None,
    live: Live = False,
    output: Output = None,
    as_typescript: Annotated[
        bool,
        typer.Option("--typescript", help="Types for a client in TypeScript, as examples/node/."),
    ] = False,
    url: Url = None,
) -> None:
    """Print a service's methods, with their JSON Schemas, as JSON.

    Of one class it is the description of the service. Of several, or with --live, it is an object
    with `services`, by name. `leveret diff` takes both. With --typescript it is a file of types
    that the client in examples/node/ takes.
    """
    with one_line_errors():
        told = chosen(targets, url, live=live)
        if as_typescript:
            write(typescript([it.description for it in told]), output)
            return
        found = {str(it.description["service"]): it.description for it in told}
    described = {"services": found} if live or len(found) > 1 else next(iter(found.values()))
    if output is None:
        print_json(described)
    else:
        write(as_json_text(described), output)
