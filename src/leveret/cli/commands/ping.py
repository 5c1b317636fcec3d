"""`leveret ping`: how long servers take to answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leveret.cli.asking import (
    CODES,
    Json,
    Within,
    ask,
    builtins,
    found,
    print_survey,
)
from leveret.cli.options import Url
from leveret.cli.tables import duration, table
from leveret.client.survey import Pong, Survey
from leveret.rabbit.rabbit import Rabbit

__all__ = ["CODES", "ping"]


def ping(
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE[.INSTANCE]",
            help="Whose servers are asked, or which one.",
            show_default="all",
        ),
    ] = None,
    url: Url = None,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """Ask servers for a sign of life, and show how long each took.

    The time is the way to the server and back, over the broker. Exit code 5: no server of the
    service answers; 7: some did not answer in time.

    Example: leveret ping shop
    """

    async def question(rabbit: Rabbit) -> Survey[Pong]:
        return await found(rabbit, service, await rabbit.ping(service, timeout=timeout))

    survey = ask(url, question, as_json=json)
    rows = [
        (
            duration(pong.seconds),
            pong.server.instance,
            pong.server.name,
            pong.server.process.host,
            ", ".join(pong.server.services),
        )
        for pong in survey.servers
    ]
    print_survey(
        survey,
        {"servers": [_described(pong) for pong in survey.servers]},
        table((">TIME", "INSTANCE", "NAME", "HOST", "SERVICES"), rows) if rows else [],
        as_json=json,
        identities=[pong.server for pong in survey.servers],
    )


def _described(pong: Pong) -> dict[str, Any]:
    return {**builtins(pong.server), "seconds": pong.seconds}
