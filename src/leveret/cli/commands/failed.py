"""`leveret failed`: the one-way requests that failed, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer

import leveret
from leveret.amqp.events import Delivery
from leveret.cli.command_line import CommandLine
from leveret.cli.exits import DONE, INTERRUPTED, UNEXPECTED, exit_code
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.options import Url, refuse_embedded, refuse_empty
from leveret.cli.printing import (
    one_line,
    print_error,
    print_error_text,
    print_json,
    print_result,
)
from leveret.client.discovery import discover
from leveret.client.failed_requests import FailedRequests
from leveret.client.named import named_spec
from leveret.errors import Cancelled, InvalidArgument, LeveretError
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.native.failed import read_failure

__all__ = ["CODES", "app"]

log = logging.getLogger("leveret.cli")

CODES: Final = (0, 2, 3, 4, 5, 6, 7, 9, 10, 13, 70, 130)
"""The exit codes that its commands can have."""
_ASKED: Final = 5.0
"""Seconds that the servers of a service have to say what methods it has."""

app = CommandLine()

Target = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE[.METHOD]",
        help="Whose failed requests. Of a service alone its servers say which methods keep them.",
    ),
]
Id = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="The request's id, as `ls` shows it.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All of them, instead of one.")]
Json = Annotated[bool, typer.Option("--json", help="Print each request as one line of JSON.")]
Level = Annotated[
    LogLevel | None,
    typer.Option(
        case_sensitive=False,
        show_default="none",
        help="What else to tell on stderr; debug shows tracebacks.",
    ),
]


@app.command("ls")
def list_(target: Target, url: Url = None, json: Json = False, log_level: Level = None) -> None:
    """List failed requests, the oldest first.

    Example: leveret failed ls audit.record
    """

    async def look(requests: FailedRequests, method: str) -> int:
        shown = 0
        async for delivery in requests.each():
            shown += 1
            if json:
                print_result(_described(method, delivery), as_json=True)
            else:
                _print(_line(method, delivery))
        return shown

    _for_each(target, url, look, as_json=json, log_level=log_level)


@app.command()
def show(
    target: Target,
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, as `ls` shows it.")
    ],
    url: Url = None,
    json: Json = False,
    log_level: Level = None,
) -> None:
    """Show one failed request with its arguments.

    Example: leveret failed show audit.record Jl0eUBiP1Nx2AJ4M
    """

    async def look(requests: FailedRequests, method: str) -> int:
        async for delivery in requests.each():
            if delivery.properties.correlation_id == wanted:
                found = _described(method, delivery) | _contents(delivery)
                if json:
                    print_result(found, as_json=True)
                else:
                    print_json(found)
                return 1
        return 0

    _for_each(target, url, look, wanted=wanted, as_json=json, log_level=log_level)


@app.command()
def retry(
    target: Target,
    wanted: Id = None,
    every: All = False,
    url: Url = None,
    json: Json = False,
    log_level: Level = None,
) -> None:
    """Send failed requests again, to the servers of their method.

    Each is taken off the failed ones only once the broker has confirmed that it waits for a server.

    Example: leveret failed retry audit.record --all
    """
    _one_or_all(wanted, every)

    async def again(requests: FailedRequests, method: str) -> int:
        return await _chosen(requests, wanted, requests.retry)

    _for_each(target, url, again, wanted=wanted, did="retried", as_json=json, log_level=log_level)


@app.command()
def drop(
    target: Target,
    wanted: Id = None,
    every: All = False,
    url: Url = None,
    json: Json = False,
    log_level: Level = None,
) -> None:
    """Forget failed requests.

    Example: leveret failed drop audit.record Jl0eUBiP1Nx2AJ4M
    """
    _one_or_all(wanted, every)

    async def forget(requests: FailedRequests, method: str) -> int:
        async def one(delivery: Delivery) -> None:
            requests.drop(delivery)

        return await _chosen(requests, wanted, one)

    _for_each(target, url, forget, wanted=wanted, did="dropped", as_json=json, log_level=log_level)


def _one_or_all(wanted: str | None, every: bool) -> None:
    if (wanted is None) is not every:
        raise typer.BadParameter("give the ID of one request, or --all")


async def _chosen(
    requests: FailedRequests,
    wanted: str | None,
    act: Callable[[Delivery], Coroutine[Any, Any, None]],
) -> int:
    """Do something with one request, or with all; returns with how many."""
    done = 0
    async for delivery in requests.each():
        if wanted is None or delivery.properties.correlation_id == wanted:
            await act(delivery)
            done += 1
    return done


def _for_each(
    target: str,
    url: str | None,
    act: Callable[[FailedRequests, str], Coroutine[Any, Any, int]],
    *,
    wanted: str | None = None,
    did: str = "",
    as_json: bool,
    log_level: LogLevel | None,
) -> None:
    """Do something with the failed requests of each method, and exit.

    :param act: does it for one method; returns with how many requests.
    :param wanted: the id of a request that must be among them.
    :param did: what is printed with their number; "" for nothing.
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_embedded(url, as_json=as_json)
    configure_logging(log_level or LogLevel.CRITICAL)
    try:
        # Not on uvloop: loading it takes longer than it saves here.
        count = asyncio.run(_work(target, url, act))
        if wanted is not None and not count:
            raise InvalidArgument(f"{target} has no failed request with the id {wanted!r}")
    except LeveretError as error:
        log.debug("it failed", exc_info=True)
        # A handler may have run only where a request was perhaps sent again.
        in_doubt = getattr(error, "executed", "no") == "maybe"
        print_error(error, as_json=as_json, of_call=bool(did) and in_doubt)
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        print_error(Cancelled("interrupted", executed="maybe"), as_json=as_json)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print_error(error, as_json=as_json)
        raise typer.Exit(UNEXPECTED) from None
    if did and as_json:
        print_result({did: count}, as_json=True)
    elif did:
        _print(f"{did} {count}")
    elif not count and not as_json:
        print_error_text(f"no failed requests of {target}")
    raise typer.Exit(DONE)


async def _work(
    target: str, url: str | None, act: Callable[[FailedRequests, str], Coroutine[Any, Any, int]]
) -> int:
    async with leveret.connect(url) as rabbit:
        count = 0
        for method in await _methods(rabbit, target):
            requests = await FailedRequests.open(rabbit.calls.connection, method)
            try:
                count += await act(requests, method)
            finally:
                await requests.close()
        return count


async def _methods(rabbit: Rabbit, target: str) -> list[str]:
    """The methods that a target names.

    :raises InvalidArgument: if it is no name.
    :raises NoServer: if it is a service, and no server says what methods it has.
    """
    if "." in target:
        return [named_spec(target).key]
    spec = await discover(
        rabbit.calls, target, timeout=_ASKED, wait_for_server=False, wait_for_connection=True
    )
    return [method.key for method in spec.methods.values() if method.keep_failed]


def _described(method: str, delivery: Delivery) -> dict[str, Any]:
    """A failed request, without its arguments."""
    found: dict[str, Any] = {"method": method, "id": delivery.properties.correlation_id or ""}
    failure = read_failure(delivery.properties)
    if failure is not None:
        found |= msgspec.to_builtins(failure)
        found["at"] = _when(failure.at)
    return found


def _contents(delivery: Delivery) -> dict[str, Any]:
    """What a request carries: who sent it, and its arguments where they are JSON, else its body."""
    properties = delivery.properties
    headers = properties.headers or {}
    found: dict[str, Any] = {
        "user": headers.get("on-behalf-of") or properties.user_id or "",
        "caller": properties.app_id or "",
        "content_type": properties.content_type or "",
        "metadata": headers.get("metadata") or {},
    }
    body = delivery.body or b""
    try:
        found["arguments"] = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found["body"] = body
    return found


def _print(text: str) -> None:
    print_result(one_line(text), as_json=False)


def _line(method: str, delivery: Delivery) -> str:
    """A failed request in one line."""
    named = delivery.properties.correlation_id or "-"
    failure = read_failure(delivery.properties)
    if failure is None:
        return f"{named}  {method}  (no server put it there)"
    times = f", {failure.attempts} times" if failure.attempts > 1 else ""
    return (
        f"{named}  {_when(failure.at)}  {method}  {failure.type}: {failure.message}"
        f" ({failure.code}, executed: {failure.executed}{times})"
    )


def _when(milliseconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "?"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
