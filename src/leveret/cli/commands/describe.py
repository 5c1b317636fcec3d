"""`leveret describe`: what a service is, or one of its methods, and who serves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import typer

from leveret.cli.asking import check_method
from leveret.cli.contracts import Told, live_services, of_class, one_line_errors, page_of
from leveret.cli.options import Url
from leveret.cli.printing import one_line, print_result
from leveret.documents.text import method_text, service_text
from leveret.errors import InvalidArgument, LeveretError

__all__ = ["CODES", "describe"]

CODES: Final = (0, 2, 3, 4, 5, 7, 9, 10, 11, 13, 70, 130)
"""The exit codes that it can have."""


def describe(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE[.METHOD]",
            help="What to tell of, as servers say; or module:Service[.method], which needs none.",
        ),
    ],
    url: Url = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the description with its JSON Schemas, in one line."),
    ] = False,
) -> None:
    """Tell what a service is, or a method: signature, types, bounds, errors, options, servers.

    Example: leveret describe shop.order
    """
    with one_line_errors(as_json=json):
        told, method = _find(target, url)
        if json:
            print_result(_as_json(told, method), as_json=True)
            return
        page = page_of(told)
        found = next((it for it in page.methods if it.name == method), None)
    for line in service_text(page) if found is None else method_text(page, found):
        print_result(one_line(line), as_json=False)


def _find(target: str, url: str | None) -> tuple[Told, str]:
    """The service that a target names, and its method; "" for all of it.

    :raises LeveretError: if there is none.
    """
    if ":" in target:
        described, method = _class(target)
        told = Told(described, None)
    else:
        name, dot, method = target.partition(".")
        if dot and not method:
            raise InvalidArgument(f'a method is named "service.method"; got {target!r}')
        live = live_services(url, [name])[name]
        told = Told(live.description, live.servers)
    service = told.description["service"]
    check_method(service, method, (f"{service}.{it}" for it in told.description["methods"]))
    return told, method


def _class(target: str) -> tuple[Mapping[str, Any], str]:
    """The description of a class, and the method after its name."""
    try:
        return of_class(target), ""
    except LeveretError:
        service, dot, method = target.rpartition(".")
        if not dot or ":" not in service:
            raise
        try:
            return of_class(service), method
        except LeveretError:
            pass
        raise


def _as_json(told: Told, method: str) -> dict[str, Any]:
    found = dict(told.description)
    if method:
        found = {"service": found["service"], "method": method, **found["methods"][method]}
    if told.servers is not None:
        found["servers"] = msgspec.to_builtins(told.servers)
    return found
