"""The `method` decorator: marks a method as remote and keeps the options it was given.

The options are checked when the class is complete (`service.py`): only then can errors name class
and method, and options be merged with those of the contract.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from types import FunctionType
from typing import Any, Final, Literal, ParamSpec, Protocol, TypeVar, overload

import msgspec

from leveret.contract.attempts import Hedge, Retry
from leveret.contract.concurrency import Adaptive
from leveret.errors import ContractError, DeclaredError

__all__ = [
    "DEFAULTS",
    "Declaration",
    "MethodDecorator",
    "declaration_of",
    "declare",
    "is_marked",
    "method",
    "streaming",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Remote = Callable[P, Coroutine[Any, Any, R]]
"""What type checkers see: the same for `async def` and `def`, so each can override the other."""
C = TypeVar("C", bound=Coroutine[Any, Any, Any])
A = TypeVar("A", bound=AsyncIterator[Any])
I = TypeVar("I", bound=Iterator[Any])  # noqa: E741 - as the others: the first letter
I_co = TypeVar("I_co", bound=Iterator[Any], covariant=True)


class ItemsOf(Protocol[I_co]):
    """What type checkers see where a plain `def` gives an `Iterator[T]`: an `AsyncIterator[T]`.

    If a method returns `Any`, all overloads of `method` match. Checkers take that for ambiguous,
    and the method for untyped, unless all overloads have the same type there: a variable. So the
    iterator is a type variable, and the type of its items is derived here.
    """

    def __aiter__(self: ItemsOf[Iterator[T]]) -> AsyncIterator[T]: ...
    def __anext__(self: ItemsOf[Iterator[T]]) -> Coroutine[Any, Any, T]: ...


# The ignores below: what gives an iterator could be given to the last overload as well.

DEFAULTS: Final[Mapping[str, Any]] = {
    "timeout": 10.0,
    "idempotent": False,
    "once": False,
    "one_way": False,
    "keep_failed": False,
    "name": None,
    "raises": (),
    "concurrency": 100,
    "executor": None,
    "priority_levels": 0,
    "queue": "classic",
    "max_length": None,
    "expires": None,
    "content_type": None,
    "retry": None,
    "hedge": None,
    "resume": False,
}
"""Every option of `method`, and its default if neither a method nor its contract gives one."""

_MARK: Final = "__leveret_method__"
_END: Final = object()
"""The value that an exhausted iterator returns."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One function under `@method`, with the options that it was given."""

    function: Callable[..., Any]
    """The function in the class, which always returns an awaitable or an async iterator."""
    plain: Callable[..., Any] | None
    """The plain `def` behind it; None for a function that runs on the event loop."""
    given: Mapping[str, Any]
    """The options that were written out."""
    streams: bool = False
    """Whether calling the function is known to return an async iterator."""


class MethodDecorator(Protocol):
    """The decorator of `@method(...)`: keeps the signature and makes the method awaitable."""

    @overload
    def __call__(self, function: Callable[P, C], /) -> Callable[P, C]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, A], /
    ) -> Callable[P, A]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, I], /
    ) -> Callable[P, ItemsOf[I]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Remote[P, R]: ...


@overload
def method(function: Callable[P, C], /) -> Callable[P, C]: ...
@overload
def method(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    function: Callable[P, A], /
) -> Callable[P, A]: ...
@overload
def method(  # type: ignore[overload-overlap]
    function: Callable[P, I], /
) -> Callable[P, ItemsOf[I]]: ...
@overload
def method(function: Callable[P, R], /) -> Remote[P, R]: ...
@overload
def method(
    *,
    timeout: float = 10.0,
    idempotent: bool = False,
    once: bool = False,
    one_way: bool = False,
    keep_failed: bool = False,
    name: str | None = None,
    raises: Collection[type[DeclaredError]] = (),
    concurrency: int | Adaptive = 100,
    executor: Literal["thread", "process"] | None = None,
    priority_levels: int = 0,
    queue: Literal["classic", "quorum"] = "classic",
    max_length: int | None = None,
    expires: float | None = None,
    content_type: str | None = None,
    retry: Retry | Literal[False] | None = None,
    hedge: Hedge | float | None = None,
    resume: bool = False,
) -> MethodDecorator: ...
def method(function: Any = None, /, **given: Any) -> Any:
    """Make a method of a `Service` callable from other computers: `@method` or `@method(...)`.

    The method is typed and called as `async` either way. An `async def` runs on the event loop; a
    plain `def` runs off it, in a thread or a process. `-> AsyncIterator[T]` with `yield` streams
    its results, a parameter `AsyncIterator[T]` what its caller gives; a plain `def` has
    `Iterator[T]` there.

    An override inherits the options of the method that it overrides, unless it gives its own.

    :param timeout: seconds a call may take, unless the caller says otherwise.
    :param idempotent: whether running a call twice does no harm. Only then does Leveret run a call
        again that a crash interrupted.
    :param once: whether each call has an idempotency key, so that a call that is delivered or sent
        again gets the recorded reply: see `serve(once=...)`.
    :param one_way: for a method that returns None: calling it through a remote sends a persistent
        request and returns once the broker has confirmed it, as `rabbit.send` does for any method.
    :param keep_failed: whether the servers keep one-way requests that failed, with their errors, in
        the queue `leveret.<service>.<method>.failed`: see `leveret failed`.
    :param name: the name on the wire, if it differs from the name in Python.
    :param raises: the `DeclaredError` classes that travel to the caller as they are.
    :param concurrency: calls that one server runs at the same time, 1 to 65535; with an `Adaptive`
        the server finds out how many.
    :param executor: for a plain `def` only: "thread" (the default) or "process".
    :param priority_levels: the highest priority a call can have, 1 to 255; 0: no priorities.
    :param queue: "classic" or "quorum", the type of the request queue.
    :param max_length: how many calls may wait in the queue before further ones are `Busy`.
    :param expires: seconds without any server after which the broker deletes the queue.
    :param content_type: application/json, application/msgpack, text/plain (one scalar argument
        and a scalar result), application/octet-stream (bytes to bytes) or
        application/vnd.leveret.buffers (arrays and tables). None: the last one if the signature has
        arrays or tables, otherwise application/json.
    :param retry: a `Retry`: how calls are retried after a failure, unless the caller says
        otherwise. False: they are not. None: as `connect(retry=...)` says.
    :param hedge: for idempotent methods: seconds, or a `Hedge`, after which a second request is
        sent in addition to a slow one. False: none is. None: as `connect(hedge=...)` says.
    :param resume: for a method that streams results: whether a stream whose server is gone is
        called again, with the cursor of the last item, instead of ending as `StreamBroken`.
    :raises ContractError: here or when the class is complete, for a method that cannot work.
    """
    unknown = given.keys() - DEFAULTS.keys()
    if unknown:
        raise ContractError(
            f"@method has no option {', '.join(sorted(unknown))}; it has {', '.join(DEFAULTS)}"
        )
    if function is not None:
        return declare(function, {}).function
    return lambda decorated: declare(decorated, given).function


def declare(function: Any, given: Mapping[str, Any], where: str = "") -> Declaration:
    """Mark a function as remote, and wrap it if it is not a coroutine function.

    :param where: the name of the method in errors; by default the function's own name.
    :raises ContractError: for anything but an instance method.
    """
    _refuse_other_than_instance_methods(function, where)
    if _is_async(function):
        declaration = Declaration(function=function, plain=None, given=given)
    else:
        declaration = Declaration(function=_off_the_loop(function), plain=function, given=given)
    setattr(declaration.function, _MARK, declaration)
    return declaration


def streaming(declaration: Declaration, *, on_loop: bool) -> Declaration:
    """Have a function return an async iterator, now that its annotation says that it streams.

    :param on_loop: whether it returns one itself; otherwise it returns an iterator that may block.
    """
    plain, given = declaration.plain, declaration.given
    if declaration.streams or plain is None:
        return declaration
    if on_loop:
        made = Declaration(function=plain, plain=None, given=given, streams=True)
    else:
        made = Declaration(
            function=_items_off_the_loop(plain), plain=plain, given=given, streams=True
        )
    for name in (_MARK, "__isabstractmethod__"):
        if hasattr(declaration.function, name):
            setattr(made.function, name, getattr(declaration.function, name))
    setattr(made.function, _MARK, made)
    return made


def declaration_of(definition: Any, where: str) -> Declaration | None:
    """Return what `@method` noted on this class attribute; None if it was not applied.

    :raises ContractError: when another decorator above `@method` hides it.
    """
    declaration = getattr(definition, _MARK, None)
    if not isinstance(declaration, Declaration) or definition is not _inside(definition):
        return None
    if declaration.function is not definition:
        raise ContractError(f"{where}: put @method above the other decorators")
    return declaration


def is_marked(definition: Any) -> bool:
    """Whether `@method` is anywhere in this class attribute, even inside a property."""
    return isinstance(getattr(_inside(definition), _MARK, None), Declaration)


def _inside(definition: Any) -> Any:
    """Return the function inside a staticmethod, classmethod or property, or the same."""
    if isinstance(definition, staticmethod | classmethod):
        return definition.__func__
    return definition.fget if isinstance(definition, property) else definition


def _refuse_other_than_instance_methods(function: Any, where: str) -> None:
    inner = _inside(function)
    where = where or getattr(inner, "__qualname__", repr(inner)).rpartition("<locals>.")[2]
    if isinstance(function, staticmethod | classmethod | property):
        kind = type(function).__name__
        raise ContractError(f"{where}: a {kind} cannot be remote; make it a method with `self`")
    if not isinstance(function, FunctionType):
        raise ContractError(f"{where}: only a function can be remote; write `async def`")


def _is_async(function: FunctionType) -> bool:
    # A decorator that is a plain `def` around an `async def` gives a coroutine all the same.
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, inspect.unwrap(function))
    )


def _off_the_loop(function: Callable[P, R]) -> Remote[P, R]:
    """Make a plain function awaitable, for local calls: a server runs the plain one itself."""

    @functools.wraps(function)
    async def run_in_thread(*args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio  # noqa: PLC0415 - slow to import, and no use in defining services

        return await asyncio.to_thread(function, *args, **kwargs)

    return run_in_thread


def _items_off_the_loop(function: Callable[P, Iterator[T]]) -> Callable[P, AsyncIterator[T]]:
    """Make a function that returns an iterator return an async one, for local calls, as above."""

    @functools.wraps(function)
    async def iterate_in_threads(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        import asyncio  # noqa: PLC0415 - as above

        iterator = await asyncio.to_thread(function, *args, **kwargs)
        try:
            while True:
                item = await asyncio.to_thread(next, iterator, _END)
                if item is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await asyncio.to_thread(close)

    return iterate_in_threads
