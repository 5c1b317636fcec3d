"""`leveret call`: one remote call, from its arguments to its exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

import typer

from leveret.cli.arguments import BadArgument, arguments_of
from leveret.cli.exits import DONE, INCOMPLETE, INTERRUPTED, TERMINATED, UNEXPECTED, exit_code
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.made_calls import (
    Request,
    ask_all,
    call_many_times,
    call_once,
    described_answers,
)
from leveret.cli.options import Url, read_pairs, refuse_embedded, refuse_empty, refuse_nan
from leveret.cli.printing import print_error, print_error_text, print_result
from leveret.cli.progress_bar import ProgressBar, is_terminal
from leveret.cli.repeated_calls import Outcomes, described, summary
from leveret.client.named import named_spec
from leveret.client.verbs.answers import Answers
from leveret.contract import Progress
from leveret.errors import Cancelled, InvalidArgument, LeveretError, RemoteError

__all__ = ["CODES", "call"]

log = logging.getLogger("leveret.cli")

CODES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 70, 130, 143)
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
            "--arguments",
            "-d",
            metavar="JSON",
            show_default=False,
            help='Arguments as one JSON object, \'{"n": 30}\', "@FILE" to read it from a file, or'
            ' "-" from stdin.',
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=4_294_967,
            callback=refuse_nan,
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
        typer.Option(
            "--metadata",
            "--meta",
            metavar="NAME=TEXT",
            help="Sent along with the call. Repeatable.",
        ),
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
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every server runs the call; print the answers by instance, and how many are"
            " missing.",
        ),
    ] = False,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance",
            metavar="ID",
            show_default=False,
            help="This one server runs the call, and no other; `leveret ls --instances` has the"
            " ids.",
        ),
    ] = None,
    allow_effects: Annotated[
        bool,
        typer.Option("--allow-effects", help="With --all: also a method that is not idempotent."),
    ] = False,
    repeat: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000_000,
            metavar="N",
            show_default=False,
            help="Make the call so many times, and print how long they took and what failed.",
        ),
    ] = None,
    at_once: Annotated[
        int,
        typer.Option(
            "-c",
            "--at-once",
            min=1,
            max=10_000,
            metavar="M",
            help="With --repeat: how many at a time.",
        ),
    ] = 1,
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

    Examples: leveret call fibonacci.fib n=30; leveret call fibonacci.fib -d @numbers.json;
    leveret call fibonacci.fib n=30 --repeat 1000 -c 20
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_embedded(url, as_json=json)
    configure_logging(log_level or LogLevel.CRITICAL)
    try:
        given = arguments_of(words or (), arguments)
    except BadArgument as error:
        raise typer.BadParameter(str(error)) from None
    _check_method(method)
    _check_modes(every=every, repeat=repeat, at_once=at_once, stream=stream)
    if instance is not None and (every or stream):
        raise typer.BadParameter("--instance goes with neither --all nor --stream")
    request = Request(
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
        instance=instance,
    )
    make = _maker(request, repeat, at_once, every=every, allow_effects=allow_effects)
    raise typer.Exit(_make_call(request, make, as_json=json))


def _check_method(method: str) -> None:
    try:
        named_spec(method)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error)) from None


def _check_modes(*, every: bool, repeat: int | None, at_once: int, stream: bool) -> None:
    if sum((every, repeat is not None, stream)) > 1:
        raise typer.BadParameter("give one of --all, --repeat and --stream")
    if at_once > 1 and repeat is None:
        raise typer.BadParameter("-c is for --repeat")


Make: TypeAlias = Callable[[Callable[[Progress], object] | None], Coroutine[Any, Any, Any]]
"""Makes a call, with what is to be told of its progress."""


def _maker(
    request: Request, repeat: int | None, at_once: int, *, every: bool, allow_effects: bool
) -> Make:
    if every:
        return partial(ask_all, request, allow_effects=allow_effects)
    if repeat is not None:
        return lambda _: call_many_times(request, repeat, at_once)
    return partial(call_once, request)


def _make_call(request: Request, make: Make, *, as_json: bool) -> int:
    """Make a call, print its result or its error, and return the exit code."""
    try:
        # Not on uvloop: loading it takes longer than it saves in one call.
        with ProgressBar() as bar:
            shown = bar.show if is_terminal() and not as_json else None
            result = asyncio.run(_until_sigterm(make(shown)))
    except BrokenPipeError:  # as of `leveret call --stream ... | head`
        return DONE
    except LeveretError as error:
        log.debug("the call failed", exc_info=True)
        if isinstance(error, RemoteError) and error.remote_traceback:
            for line in error.remote_traceback.splitlines():
                log.debug("in the handler: %s", line)
        print_error(error, as_json=as_json)
        return exit_code(error)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        stopped = Cancelled("interrupted, and cancelled at its server", method=request.method)
        print_error(stopped, as_json=as_json)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print_error(error, as_json=as_json)
        return UNEXPECTED
    return DONE if request.stream else _tell(result, as_json=as_json)


async def _until_sigterm(call: Coroutine[Any, Any, Any]) -> Any:
    """What a call gives. The first SIGTERM cancels it; a second one ends the process at once.

    It does not go by SIGINT, which jobs in the background of a script ignore.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    with suppress(NotImplementedError):  # on Windows, where it ends the process
        loop.add_signal_handler(signal.SIGTERM, stop)
    return await call


def _tell(result: Any, *, as_json: bool) -> int:
    """Print what came of it; returns the exit code."""
    if isinstance(result, Answers):
        return _told_answers(result, as_json=as_json)
    if isinstance(result, Outcomes):
        return _told_outcomes(result, as_json=as_json)
    print_result(result, as_json=as_json)
    return DONE


def _told_answers(answers: Answers[Any], *, as_json: bool) -> int:
    print_result(described_answers(answers), as_json=as_json)
    if answers.errors:
        return exit_code(next(iter(answers.errors.values())))
    if answers.missing:
        if not as_json:
            print_error_text(f"not complete: {answers.missing} servers did not answer")
        return INCOMPLETE
    return DONE


def _told_outcomes(outcomes: Outcomes, *, as_json: bool) -> int:
    if as_json:
        print_result(described(outcomes), as_json=True)
    else:
        print_result("\n".join(summary(outcomes)), as_json=False)
    return DONE if outcomes.first_error is None else exit_code(outcomes.first_error)
