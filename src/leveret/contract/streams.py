"""Reads the annotations that say that values stream, and checks methods that have them.

`-> AsyncIterator[T]` is a stream of results, a parameter `AsyncIterator[T]` is an upload. A plain
`def` has `Iterator[T]` in both places, as it runs off the loop. Type checkers accept a generator
for either.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, Final, get_args, get_origin

import msgspec

from leveret.contract.specification import MethodSpec
from leveret.errors import ContractError

__all__ = ["Streamed", "check_result", "check_stream_options", "check_upload", "streamed"]

_ASYNC: Final = frozenset({AsyncIterator, AsyncGenerator, AsyncIterable})
_PLAIN: Final = frozenset({Iterator, Generator, Iterable})
_ONLY_TAKEN: Final = frozenset({AsyncIterable, Iterable})
"""Annotations that only a parameter may have: a result of this type has no iterator to begin
with."""


class Streamed(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A streaming annotation."""

    item: Any
    """The annotation of each item."""
    on_loop: bool
    """Whether the items are awaited: `AsyncIterator`, not `Iterator`."""
    only_taken: bool
    """Whether only a parameter may have it, as `Iterable`."""


def streamed(annotation: Any, what: str) -> Streamed | None:
    """Read a streaming annotation; None for that of a plain value.

    :param what: names what it annotates, for the error.
    :raises ContractError: for one that does not say what its items are.
    """
    kind = get_origin(annotation) or annotation
    try:
        if kind not in _ASYNC and kind not in _PLAIN:
            return None
    except TypeError:  # it has no hash
        return None
    of = get_args(annotation)
    if not of:
        raise ContractError(
            f"{what} is an {kind.__name__} without its items; write their type, as in"
            f" `{kind.__name__}[int]`"
        )
    if kind in (Generator, AsyncGenerator) and any(
        sent not in (None, type(None)) for sent in of[1:]
    ):
        raise ContractError(
            f"{what} is a generator that takes or returns values, which do not travel; write"
            f" `{'Async' if kind is AsyncGenerator else ''}Iterator[...]`"
        )
    return Streamed(item=of[0], on_loop=kind in _ASYNC, only_taken=kind in _ONLY_TAKEN)


def check_result(found: Streamed | None, function: Callable[..., Any], where: str) -> None:
    """Check that a function fits the annotation of its result.

    :raises ContractError: if it does not, as a generator that is not annotated as one.
    """
    yields_on_loop = inspect.isasyncgenfunction(function)
    yields = inspect.isgeneratorfunction(function)
    if found is None:
        if yields or yields_on_loop:
            kind = "AsyncIterator" if yields_on_loop else "Iterator"
            raise ContractError(
                f"{where}: it yields, so its result is a stream; write `-> {kind}[...]` with the"
                " type of the items"
            )
        return
    if found.only_taken:
        raise ContractError(f"{where}: its result streams; write `-> AsyncIterator[...]`")
    if inspect.iscoroutinefunction(function):
        raise ContractError(
            f"{where}: an `async def` without `yield` gives one result, and its annotation says"
            " that it streams; use `yield` in it, or write a plain `def` that returns an"
            " AsyncIterator (as in a contract without its implementation)"
        )
    if yields and found.on_loop:
        raise ContractError(
            f"{where}: a plain `def` with `yield` is an Iterator; write `-> Iterator[...]`, or"
            " `async def`"
        )
    if yields_on_loop and not found.on_loop:
        raise ContractError(
            f"{where}: an `async def` with `yield` is an AsyncIterator; write"
            " `-> AsyncIterator[...]`, or a plain `def`"
        )


def check_upload(found: Streamed, *, on_loop: bool, what: str) -> None:
    """Check that a method can take an upload where it runs.

    :param on_loop: whether it runs on the event loop.
    :raises ContractError: if it cannot.
    """
    if found.on_loop and not on_loop:
        raise ContractError(
            f"{what} is awaited, and a plain `def` does not run on the event loop; write"
            " `Iterator[...]`, or `async def`"
        )
    if on_loop and not found.on_loop:
        raise ContractError(
            f"{what} would block the event loop, where an `async def` runs; write"
            " `AsyncIterator[...]`, or a plain `def`"
        )


def check_stream_options(spec: MethodSpec, where: str) -> None:
    """Refuse options that do not fit a method because it streams, or because it does not.

    :raises ContractError: if it has one.
    """
    if spec.resume and not spec.streams:
        raise ContractError(
            f"{where}: resume=True is for a method that streams results; write"
            " `-> AsyncIterator[...]`, or drop it"
        )
    if spec.resume and spec.upload is not None:
        raise ContractError(
            f"{where}: resume=True calls the method again, and nobody has the upload any more; drop"
            " it"
        )
    if not spec.streams and spec.upload is None:
        return
    for option in ("retry", "hedge", "once", "one_way", "keep_failed"):
        if getattr(spec, option):
            raise ContractError(f"{where}: {option} is for calls that do not stream; drop it")
