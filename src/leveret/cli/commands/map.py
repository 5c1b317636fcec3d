"""`leveret map`: who calls whom, how often, and whom the failure of a service hits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import typer

from leveret.cli.asking import (
    CODES,
    Json,
    Within,
    ask,
    builtins,
    nearest,
    print_survey,
)
from leveret.cli.map_formats import as_dot, as_impact, as_json, as_mermaid, as_table
from leveret.cli.options import Url, refuse_nan
from leveret.client.between import between
from leveret.client.service_map import ServiceMap, service_map
from leveret.client.survey import StatsSurvey
from leveret.errors import NoServer
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import ServerStats

__all__ = ["CODES", "draw"]


class Format(StrEnum):
    """What the map is printed as."""

    TABLE = "table"
    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"


_LINES: Final = {Format.TABLE: as_table, Format.MERMAID: as_mermaid, Format.DOT: as_dot}


def draw(
    url: Url = None,
    impact: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            show_default=False,
            help="Instead: whom the failure of this service hits, directly or through others.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    interval: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=3600,
            callback=refuse_nan,
            show_default=False,
            help="Look twice, so many seconds apart, and show calls per second.",
        ),
    ] = None,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """Show which service calls which, of the calls since their servers began.

    Callers are known by the names of their connections: connect(name="web"). A caller that serves
    nothing itself is marked.

    Example: leveret map --format mermaid
    """
    as_data = json or form is Format.JSON

    async def question(rabbit: Rabbit) -> tuple[StatsSurvey, ServiceMap]:
        seen = await rabbit.stats(timeout=timeout)
        lately: Iterable[ServerStats] | None = None
        if interval is not None:
            await asyncio.sleep(interval)
            first, seen = seen, await rabbit.stats(timeout=timeout)
            lately = between(first.servers, seen.servers)
        drawn = service_map(seen.servers, lately)
        if impact is not None and impact not in drawn.nodes:
            known = [node.name for node in drawn.nodes.values() if node.is_service]
            there = nearest(impact, known) if known else ", nor any other"
            raise NoServer(f"the service {impact!r} is not there{there}")
        return seen, drawn

    survey, drawn = ask(url, question, as_json=as_data)
    if impact is None:
        found, lines = as_json(drawn), _LINES.get(form, as_table)(drawn)
    else:
        hit = drawn.impact(impact)
        found = {"service": impact, "hit": builtins(hit)}
        lines = as_impact(impact, hit)
    print_survey(
        survey,
        found,
        lines,
        as_json=as_data,
        identities=survey.servers,
    )
