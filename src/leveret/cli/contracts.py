"""Contracts by what a command line says: a class, a file, or what servers say of themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

import leveret
from leveret.cli.exits import INTERRUPTED, UNEXPECTED, exit_code
from leveret.cli.options import refuse_embedded, refuse_empty
from leveret.cli.printing import print_error, print_result
from leveret.cli.targets import TargetError, find_target
from leveret.client.discovery import LiveServer, LiveService, survey
from leveret.contract import service_schema
from leveret.contract.written import Descriptions, read_descriptions
from leveret.documents import Server, ServicePage, read_page
from leveret.errors import Cancelled, ContractError, LeveretError

__all__ = [
    "Descriptions",
    "Live",
    "Output",
    "Targets",
    "Told",
    "chosen",
    "descriptions_of",
    "live_services",
    "of_class",
    "one_line_errors",
    "page_of",
    "write",
]

log = logging.getLogger("leveret.cli")

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODULE:SERVICE",
        help="Service classes; with --live, names of services, or none for all that are served.",
        show_default=False,
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Ask the servers that run, by LEVERET_URL.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write it there.", show_default="stdout"),
]


class Told(NamedTuple):
    """A service that a command is to tell of."""

    description: Mapping[str, Any]
    """As `service_schema` gives it."""
    servers: tuple[LiveServer, ...] | None
    """Who serves it, where servers were asked."""


LIVE: Final = "live:"
"""What stands before the name of a service that is to be asked for."""
_ASKED: Final = 5.0
"""Seconds that servers have to say what they serve."""


def of_class(target: str) -> dict[str, Any]:
    """The description of the service that `module:Service` names.

    :raises TargetError: if it cannot be loaded.
    :raises ContractError: if it is no service.
    """
    return service_schema(find_target(target))


def descriptions_of(side: str, url: str | None) -> Descriptions:
    """The services that a word names: `live:NAME`, `live:` for all, a file, or `module:Service`.

    :raises LeveretError: if they cannot be had.
    """
    if side.startswith(LIVE):
        name = side.removeprefix(LIVE)
        found = live_services(url, [name] if name else [])
        return {name: service.description for name, service in found.items()}
    if ":" not in side or Path(side).is_file():
        return _of_file(Path(side))
    description = of_class(side)
    return {description["service"]: description}


def chosen(targets: Iterable[str] | None, url: str | None, *, live: bool) -> list[Told]:
    """The services that a command is to tell of, each once, in the order that they are named.

    :raises LeveretError: if one cannot be had.
    :raises typer.BadParameter: if none is named, and no servers are to be asked.
    """
    if live:
        found = live_services(url, targets or ())
        return [Told(service.description, service.servers) for service in found.values()]
    if not targets:
        raise typer.BadParameter("name a service class, as module:Service, or give --live")
    classes = {(it := of_class(target))["service"]: it for target in targets}
    return [Told(description, None) for description in classes.values()]


def page_of(told: Told) -> ServicePage:
    """What a document tells of a service.

    :raises ContractError: if its description cannot be read.
    """
    servers = told.servers
    if servers is None:
        return read_page(told.description)
    return read_page(
        told.description, [Server(instance=it.instance, name=it.name) for it in servers]
    )


def write(text: str, output: Path | None) -> None:
    """Write a document to a file, or print it.

    :raises typer.BadParameter: if the file cannot be written.
    """
    if output is None:
        print_result(text.removesuffix("\n"), as_json=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error}") from None


def live_services(url: str | None, names: Iterable[str] = ()) -> dict[str, LiveService]:
    """The services that servers serve now, or these.

    :raises LeveretError: if they cannot be asked, or one of the names is nobody's.
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_embedded(url)

    async def ask() -> dict[str, LiveService]:
        async with leveret.connect(url) as rabbit:
            return await survey(rabbit.calls, names, timeout=_ASKED)

    # Not on uvloop: loading it takes longer than it saves here.
    return asyncio.run(ask())


def _of_file(path: Path) -> Descriptions:
    """What `leveret schema` wrote.

    :raises TargetError: if it is something else.
    """
    try:
        return read_descriptions(path.read_bytes())
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error}") from None
    except ContractError as error:
        raise TargetError(f"{path}: {error}") from None


@contextmanager
def one_line_errors(*, as_json: bool = False) -> Iterator[None]:
    """Print an error of this block in one line, and exit with the code of its kind.

    For commands that call no method.
    """
    try:
        yield
    except LeveretError as error:
        log.debug("it failed", exc_info=True)
        print_error(error, as_json=as_json, of_call=False)
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        print_error(Cancelled("interrupted"), as_json=as_json, of_call=False)
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.BadParameter):
        raise
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print_error(error, as_json=as_json, of_call=False)
        raise typer.Exit(UNEXPECTED) from None
