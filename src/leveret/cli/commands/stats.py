"""`leveret stats`: what became of the calls of each method, and how long they took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from leveret.cli.asking import (
    Json,
    Within,
    ask,
    builtins,
    check_method,
    found,
    print_survey,
    split_target,
)
from leveret.cli.options import Url
from leveret.cli.printing import one_line
from leveret.cli.tables import amount, size, table, when
from leveret.cli.top_screen import Sort, ordered, quantile_text
from leveret.client.service_map import UNNAMED
from leveret.client.survey import StatsSurvey
from leveret.client.totals import MethodTotals, totals
from leveret.observe import OK, Histogram
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import ServerStats

__all__ = ["CODES", "described", "failures", "rows_of", "stats", "summed"]

CODES: Final = (0, 2, 3, 4, 5, 7, 9, 10, 13, 70, 130)
"""The exit codes that it can have."""
_HEADS: Final = (
    *("METHOD", ">CALLS", ">FAILED", ">RUN", ">WAIT", ">P50", ">P95", ">QUEUE P95"),
    *(">IN", ">OUT", "FAILURES"),
)


def stats(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE[.METHOD]", help="What is shown.", show_default="all methods"
        ),
    ] = None,
    url: Url = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Show each server's own figures.")
    ] = False,
    sort: Annotated[Sort, typer.Option(help="By what, the worst first.")] = Sort.METHOD,
    timeout: Within = 5.0,
    json: Json = False,
) -> None:
    """Show what became of calls since their servers began, method by method.

    P50 and P95 are how long handlers took, QUEUE P95 how long calls waited before. FAILED are all
    calls that ended with an error, FAILURES how many by its code. Of one method its callers and its
    last error are shown as well.

    Examples: leveret stats --sort p95; leveret stats shop.order
    """
    service, method = split_target(target)

    async def question(rabbit: Rabbit) -> StatsSurvey:
        seen = await found(rabbit, service, await rabbit.stats(service, timeout=timeout))
        if seen.servers:
            check_method(service, method, _of_service(seen.servers, service))
        return seen

    survey = ask(url, question, as_json=json)
    methods = ordered(_wanted(totals(survey.servers), service, method), sort)
    heads: Sequence[str]
    if instances:
        heads, lines = ("SERVER", *_HEADS), _by_server(survey.servers, service, method)
    else:
        heads, lines = _HEADS, [*rows_of(methods)]
        if len(methods) > 1:
            lines.append(_row(summed(methods)))
    answer: dict[str, Any] = {
        "methods": {one.method: described(one) for one in methods},
        "total": described(summed(methods)),
    }
    if instances:
        answer["servers"] = [builtins(server) for server in survey.servers]
    print_survey(
        survey,
        answer,
        [
            *(table(heads, lines) if lines else []),
            *(_details(methods[0]) if method and methods else []),
        ],
        as_json=json,
        identities=survey.servers,
    )


def _of_service(servers: Iterable[ServerStats], service: str | None) -> list[str]:
    return [name for name in totals(servers) if not service or name.startswith(f"{service}.")]


def _wanted(found: dict[str, MethodTotals], service: str | None, method: str) -> list[MethodTotals]:
    if method:
        return [found[name] for name in found if name == f"{service}.{method}"]
    return [found[name] for name in found if not service or name.startswith(f"{service}.")]


def summed(found: Iterable[MethodTotals]) -> MethodTotals:
    """All methods together."""
    total = MethodTotals(method="total")
    for one in found:
        for code, count in one.handled.items():
            total.handled[code] = total.handled.get(code, 0) + count
        total.finished += one.finished
        total.handed_back += one.handed_back
        total.redelivered += one.redelivered
        total.running += one.running
        total.waiting += one.waiting
        total.concurrency += one.concurrency
        total.handler.add(one.handler.counts, one.handler.total)
        total.queue.add(one.queue.counts, one.queue.total)
        total.bytes_in += one.bytes_in
        total.bytes_out += one.bytes_out
    return total


def rows_of(found: Iterable[MethodTotals]) -> list[tuple[str, ...]]:
    """The cells of methods."""
    return [_row(one) for one in found]


def _by_server(
    servers: Sequence[ServerStats], service: str | None, method: str
) -> list[tuple[str, ...]]:
    return [
        (f"{server.name} {server.instance}", *_row(one))
        for server in servers
        for one in _wanted(totals([server]), service, method)
    ]


def _row(one: MethodTotals) -> tuple[str, ...]:
    return (
        one.method,
        amount(one.ended),
        amount(one.failed),
        str(one.running),
        str(one.waiting),
        quantile_text(one.handler, 0.5),
        quantile_text(one.handler, 0.95),
        quantile_text(one.queue, 0.95),
        size(one.bytes_in),
        size(one.bytes_out),
        failures(one),
    )


def _details(one: MethodTotals) -> list[str]:
    """Who calls a method, the most first, and its last error."""
    callers = sorted(one.callers.items(), key=lambda pair: (-pair[1].handled, pair[0]))
    rows = [
        (name or UNNAMED, amount(caller.handled), amount(caller.failed)) for name, caller in callers
    ]
    lines = ["", *table(("CALLER", ">CALLS", ">FAILED"), rows)] if rows else []
    error = one.last_error
    if error is not None:
        named = [("call", error.call), ("trace", error.trace)]
        ids = ", ".join(f"{what} {its}" for what, its in named if its)
        text = f"last error, {when(error.at)}: {error.code}: {error.message}"
        text += f" ({ids})" if ids else ""
        lines += ["", one_line(text)]
    return lines


def failures(one: MethodTotals) -> str:
    """How many calls failed by the code of their errors, the most first."""
    codes = sorted(one.handled.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{code} {amount(count)}" for code, count in codes if code != OK)


def described(one: MethodTotals) -> dict[str, Any]:
    """The figures of a method as `--json` has them; times in seconds."""
    return {
        "servers": one.servers,
        "calls": one.ended,
        "failed": one.failed,
        "handled": one.handled,
        "handed_back": one.handed_back,
        "redelivered": one.redelivered,
        "running": one.running,
        "waiting": one.waiting,
        "concurrency": one.concurrency,
        "handler": _times(one.handler),
        "queue": _times(one.queue),
        "bytes_in": one.bytes_in,
        "bytes_out": one.bytes_out,
        "callers": {name: builtins(caller) for name, caller in one.callers.items()},
        "last_error": None if one.last_error is None else builtins(one.last_error),
    }


def _times(times: Histogram) -> dict[str, float]:
    return {
        "count": times.count,
        "mean": times.mean,
        "p50": times.quantile(0.5),
        "p95": times.quantile(0.95),
    }
