"""`uses_database`: handlers that use Django's models.

Django closes database connections that are too old or broken when a request begins and when it
ends (`close_old_connections`). A call is no request, and the threads that handlers run in live for
long: without this a handler meets the connection that the database closed last night.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.db import close_old_connections

__all__ = ["uses_database"]

P = ParamSpec("P")
R = TypeVar("R")


def uses_database(function: Callable[P, R]) -> Callable[P, R]:
    """Around a handler, below `@method`: close database connections that are too old or broken.

    For a plain `def`, in the thread of the handler; for an `async def`, in the thread in which
    Django's async queries run.

    :raises TypeError: if the handler streams: between two items its connection would grow old.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} streams: have its queries in a function of their own, and"
            " @uses_database above that"
        )
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def on_loop(*args: P.args, **kwargs: P.kwargs) -> Any:
            close = sync_to_async(close_old_connections)
            await close()
            try:
                return await function(*args, **kwargs)
            finally:
                await close()

        return cast("Callable[P, R]", on_loop)

    @wraps(function)
    def in_thread(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return in_thread
