"""`leveret calls` and `leveret cancel`: the calls that servers have now."""

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
from leveret.cli.printing import one_line, print_result
from leveret.cli.tables import duration, table
from leveret.client.survey import Survey
from leveret.errors import InvalidArgument
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import RunningCall, ServerCalls

__all__ = ["CODES", "calls", "cancel"]


def calls(
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE[.INSTANCE]", help="Whose calls are shown.", show_default="all"
        ),
    ] = None,
    url: Url = None,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """List the calls that servers have now, the oldest first: since when, for whom, how far.

    Example: leveret calls shop
    """

    async def question(rabbit: Rabbit) -> Survey[ServerCalls]:
        return await found(rabbit, service, await rabbit.running_calls(service, timeout=timeout))

    survey = ask(url, question, as_json=json)
    listed = sorted(
        ((call, server) for server in survey.servers for call in server.calls),
        key=lambda pair: -pair[0].age,
    )
    rows = [_row(call, server) for call, server in listed]
    heads = (*("ID", "METHOD", "STATE", ">AGE", ">LEFT", "CALLER", "USER", "SERVER", "PROGRESS"),)
    total = sum(server.total for server in survey.servers)
    print_survey(
        survey,
        {"calls": [_described(call, server) for call, server in listed], "total": total},
        table(heads, rows) if rows else [],
        as_json=json,
        identities=survey.servers,
        nothing="no server has a call",
        notes=[f"not complete: the oldest {len(listed)} of {total} calls are shown"]
        if total > len(listed)
        else [],
    )


def cancel(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="The calls, as `leveret calls` shows them.")
    ],
    url: Url = None,
    service: Annotated[
        str | None,
        typer.Option(metavar="SERVICE", show_default="all", help="Whose servers are asked."),
    ] = None,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """Have servers cancel calls, whoever made them: their callers get Cancelled.

    Exit code 3: some of the calls are at no server that answered; they may have ended.

    Example: leveret cancel 4mJ0cVq3uTgA1rXk
    """
    wanted = list(dict.fromkeys(ids))

    async def question(rabbit: Rabbit) -> list[str]:
        stopped = await rabbit.stop_calls(wanted, service, timeout=timeout)
        missed = [one for one in wanted if one not in stopped]
        if json:
            print_result({"cancelled": stopped, "not_found": missed}, as_json=True)
        else:
            for one in stopped:
                print_result(one_line(f"cancelled {one}"), as_json=False)
        if missed:
            raise InvalidArgument(f"no server that answered has the call {', '.join(missed)}")
        return stopped

    ask(url, question, as_json=json)


def _row(call: RunningCall, server: ServerCalls) -> tuple[str, ...]:
    return (
        call.id or "-",
        call.method,
        f"{call.state} (again)" if call.redelivered else call.state,
        duration(call.age),
        "" if call.left is None else duration(call.left),
        call.caller,
        call.user,
        server.name,
        _progress(call),
    )


def _progress(call: RunningCall) -> str:
    share = "" if call.fraction is None else f"{call.fraction:.0%}"
    return f"{share} {call.text}".strip()


def _described(call: RunningCall, server: ServerCalls) -> dict[str, Any]:
    return {**builtins(call), "instance": server.instance, "server": server.name}
