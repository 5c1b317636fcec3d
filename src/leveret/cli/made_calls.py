"""The calls of `leveret call`: one, or many, of whichever server takes it, of one, or of all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, Literal

import msgspec

import leveret
from leveret.cli.printing import print_item
from leveret.cli.repeated_calls import Outcomes, repeat
from leveret.client.discovery import is_one_way
from leveret.client.verbs.answers import Answers
from leveret.contract import Progress
from leveret.errors import CallError, NoServer, Unimplemented
from leveret.rabbit.rabbit import Rabbit

__all__ = ["Request", "ask_all", "call_many_times", "call_once", "described_answers"]


_OTHERS: Final = 2.0
"""Seconds that servers get to say which names there are, after a call of one that is not there."""
_SAID_WITHIN: Final = 5.0
"""Seconds that servers have to say that a method is a one-way method."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
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
    instance: str | None = None
    """The one server that is to run it; None: whichever takes it."""


OnProgress = Callable[[Progress], object] | None


async def call_once(request: Request, on_progress: OnProgress) -> Any:
    """Make the call; returns its result, None if it streams.

    :raises CallError: why it failed; it says which name is meant where there is no such one.
    """
    async with leveret.connect(request.url) as rabbit:
        remote = _with_options(rabbit, request, on_progress)
        try:
            if request.instance is not None:
                at_one = await _at_one_server(remote, request, request.instance)
                return await at_one(**request.arguments)
            if not request.stream:
                return await remote.call_or_send(request.method, **request.arguments)
            async with remote.stream(request.method, **request.arguments) as items:
                async for item in items:
                    # In a thread: who reads may stop, and the connection is to live on meanwhile.
                    await asyncio.to_thread(print_item, item)
        except (NoServer, Unimplemented) as error:
            await _explain(rabbit, request.method, error)
            raise
        return None


async def call_many_times(request: Request, times: int, at_once: int) -> Outcomes:
    """Make the call so many times, so many of them at a time; send it, if it is a one-way method.

    The servers are asked once which it is, so that the question is in no figure.
    """
    service, _, name = request.method.partition(".")
    async with leveret.connect(request.url) as rabbit:
        remote = _with_options(rabbit, request, None)
        make: Callable[[], Awaitable[object]] = partial(
            remote.call, request.method, **request.arguments
        )
        if request.instance is not None:
            at_one = await _at_one_server(remote, request, request.instance)
            make = partial(at_one, **request.arguments)
        elif await is_one_way(rabbit.calls, request.method, _SAID_WITHIN):
            found = await remote.discover(service)
            make = partial(remote.send(getattr(found, name)), **request.arguments)
        return await repeat(make, times, at_once)


async def ask_all(
    request: Request, on_progress: OnProgress, *, allow_effects: bool
) -> Answers[Any]:
    """Have every server run the call.

    :raises CallError: if there is no server, or the method is not to be asked of all.
    """
    async with leveret.connect(request.url) as rabbit:
        given = _with_options(rabbit, request, on_progress)
        try:
            method = await _discovered(given, request)
            asked = given.ask_all(method, timeout=request.timeout, allow_effects=allow_effects)
            answers: Answers[Any] = await asked(**request.arguments)
        except (NoServer, Unimplemented) as error:
            await _explain(rabbit, request.method, error)
            raise
        return answers


def described_answers(answers: Answers[Any]) -> dict[str, Any]:
    """What all servers said, by instance, and how many are missing."""
    return {
        "results": answers.results,
        "errors": {
            instance: {"code": str(error.code), "message": error.message}
            for instance, error in answers.errors.items()
        },
        "missing": answers.missing,
        "complete": not answers.missing,
    }


async def _at_one_server(
    given: Any, request: Request, instance: str
) -> Callable[..., Awaitable[Any]]:
    """What has one server run the call.

    :raises CallError: if no server says what the method is.
    """
    method = await _discovered(given, request)
    at_one: Callable[..., Awaitable[Any]] = given.ask_one(method, instance, timeout=request.timeout)
    return at_one


async def _discovered(given: Any, request: Request) -> Any:
    """The method, as its servers say that it is.

    :raises Unimplemented: if there is none.
    :raises CallError: if nobody says.
    """
    service, _, name = request.method.partition(".")
    found = await given.discover(service)
    try:
        return getattr(found, name)
    except AttributeError:
        raise Unimplemented("there is no such method", method=request.method) from None


def _with_options(rabbit: Rabbit, request: Request, on_progress: OnProgress) -> Any:
    return rabbit.with_options(
        timeout=request.timeout,
        metadata=request.metadata,
        priority=request.priority,
        if_busy=request.if_busy,
        wait_for_server=request.wait_for_server,
        content_type=request.content_type,
        on_progress=on_progress,
    )


async def _explain(rabbit: Rabbit, method: str, error: CallError) -> None:
    """Say which name is meant, where there is no such service or method."""
    try:
        seen = await rabbit.stats(timeout=_OTHERS)
    except CallError:
        return
    known = seen.methods()
    if method not in known:
        near = get_close_matches(method, known, 1)
        if near:
            stop = "" if error.message.endswith("?") else "."
            error.message = f"{error.message}{stop} Did you mean {near[0]!r}?"
