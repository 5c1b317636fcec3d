"""`leveret asyncapi`: services as an AsyncAPI 3.1 document."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.asyncapi import asyncapi as document_of
from leveret.cli.contracts import Live, Output, Targets, chosen, one_line_errors, write
from leveret.cli.options import Url
from leveret.cli.printing import as_json_text
from leveret.rabbit.connecting import DEFAULT_URL
from leveret.transport.url import parse_url

__all__ = ["CODES", "asyncapi"]

CODES: Final = (0, 2, 3, 5, 7, 9, 10, 11, 13, 70, 130)
"""The exit codes that it can have."""


def asyncapi(
    targets: Targets = None,
    live: Live = False,
    output: Output = None,
    title: Annotated[
        str, typer.Option(help="Its title.", show_default="the names of the services")
    ] = "",
    release: Annotated[
        str,
        typer.Option(
            help="Its version.", show_default="the services', else a hash of the contracts"
        ),
    ] = "",
    url: Url = None,
) -> None:
    """Write an AsyncAPI 3.1 document of services, as JSON.

    Example: leveret asyncapi --live -o services.json
    """
    with one_line_errors():
        descriptions = [told.description for told in chosen(targets, url, live=live)]
        broker = parse_url(url or DEFAULT_URL) if live else None
        document = document_of(descriptions, title=title, version=release, broker=broker)
    write(as_json_text(document), output)
