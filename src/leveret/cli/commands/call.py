"""`leveret call`: one remote call, from its arguments to its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
import typer

import leveret
from leveret.cli.arguments import BadArgument, arguments_of
from leveret.cli.exits import DONE, INTERRUPTED, UNEXPECTED, exit_code
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.options import Url, read_pairs, refuse_embedded, refuse_empty
from leveret.cli.printing import print_error, print_item, print_result
from leveret.cli.progress_bar import ProgressBar, is_terminal
from leveret.client.named import named_spec
from leveret.contract import Progress
from leveret.errors import Cancelled, InvalidArgument, LeveretError, RemoteError

__all__ = ["CODES", "call"]

log = logging.getLogger("leveret.cli")

CODES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 70, 130)
"""The exit codes that it can have."""


class IfBusy(StrEnum):
    """What a call does while no server is free."""

    WAIT = "wait"
    FAIL = "fail"


def call(
    method: Annotated[str, typer.Argument(metavar="SERVICE.METHOD", help="What to call.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="Its arguments. A value is JSON where it reads as JSON, else text:"
            """ n=30, name=Ann, tags='["a", "b"]', zip='"01234"'.""",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            show_default=False,
            help='Arguments as one JSON object, \'{"n": 30}\', or "-" to read it from stdin.',
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=4_294_967,
            show_default="10",
            help="Seconds the call may take.",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one line of JSON: the result, or on stderr the error."),
    ] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="The method streams: print each item as one line of JSON, as it comes. The timeout"
            " is until the first message.",
        ),
    ] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="Sent along with the call. Repeatable."),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=255, show_default=False, help="Higher is served first.")
    ] = None,
    if_busy: Annotated[
        IfBusy, typer.Option(help="Whether to wait in the queue, or fail, when no server is free.")
    ] = IfBusy.WAIT,
    wait_for_server: Annotated[
        bool, typer.Option("--wait-for-server", help="Wait for a server to come up.")
    ] = False,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            show_default="application/json",
            help="How the bodies are encoded: also application/msgpack or text/plain.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            case_sensitive=False,
            show_default="none",
            help="What else to tell on stderr; debug shows tracebacks.",
        ),
    ] = None,
) -> None:
    """Call a method and print its result: text as it is, anything else as JSON.

    An error is one line on stderr, and an exit code of its kind. Without --json, and where stderr
    is a terminal, a bar shows what the handler reports of its progress.

    A one-way method is sent: it is done once the broker has the request. Where no server is there
    to say that it is one, it is called.

    Ctrl-C cancels the call at its server.

    Example: leveret call fibonacci.fib n=30
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_embedded(url, as_json=json)
    configure_logging(log_level or LogLevel.CRITICAL)
    try:
        given = arguments_of(words or (), arguments)
    except BadArgument as error:
        raise typer.BadParameter(str(error)) from None
    _check_method(method)
    request = _Request(
        url=url,
        method=method,
        arguments=given,
        timeout=timeout,
        metadata=read_pairs(metadata, "--metadata") or None,
        priority=priority,
        if_busy=if_busy.value,
        wait_for_server=wait_for_server,
        content_type=content_type,
        stream=stream,
    )
    raise typer.Exit(_make_call(request, as_json=json))


def _check_method(method: str) -> None:
    try:
        named_spec(method)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error)) from None


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A call to make: the broker, the method, and options of `Service.with_options`."""

    url: str | None
    method: str
    """"service.method"."""
    arguments: dict[str, Any]
    timeout: float | None
    """Seconds."""
    metadata: dict[str, str] | None
    priority: int | None
    if_busy: Literal["wait", "fail"]
    wait_for_server: bool
    content_type: str | None
    stream: bool
    """Whether its items are to be printed one by one."""


def _make_call(request: _Request, *, as_json: bool) -> int:
    """Make a call, print its result or its error, and return the exit code."""
    try:
        # Not on uvloop: loading it takes longer than it saves in one call.
        with ProgressBar() as bar:
            shown = bar.show if is_terminal() and not as_json else None
            result = asyncio.run(_call(request, shown))
    except BrokenPipeError:  # as of `leveret call --stream ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except LeveretError as error:
        log.debug("the call failed", exc_info=True)
        if isinstance(error, RemoteError) and error.remote_traceback:
            for line in error.remote_traceback.splitlines():
                log.debug("in the handler: %s", line)
        print_error(error, as_json=as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        stopped = Cancelled("interrupted, and cancelled at its server", method=request.method)
        print_error(stopped, as_json=as_json)
        return INTERRUPTED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print_error(error, as_json=as_json)
        return UNEXPECTED
    if not request.stream:
        print_result(result, as_json=as_json)
    return DONE


async def _call(request: _Request, on_progress: Callable[[Progress], object] | None) -> Any:
    async with leveret.connect(request.url) as rabbit:
        remote = rabbit.with_options(
            timeout=request.timeout,
            metadata=request.metadata,
            priority=request.priority,
            if_busy=request.if_busy,
            wait_for_server=request.wait_for_server,
            content_type=request.content_type,
            on_progress=on_progress,
        )
        if not request.stream:
            return await remote.call_or_send(request.method, **request.arguments)
        async with remote.stream(request.method, **request.arguments) as items:
            async for item in items:
                # In a thread: who reads may stop, and the connection is to live on meanwhile.
                await asyncio.to_thread(print_item, item)
        return None
