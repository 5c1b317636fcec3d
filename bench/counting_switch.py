"""Turns off, in this process, what a client and a server count of each call, and on again.

The product has no such switch, as nobody would use it. So the functions that count are compiled
once more without the lines that do, and have one code or the other.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final, cast

from leveret.client.invocation import Invocation
from leveret.server.calls.counting import Counting
from leveret.server.calls.settling import Settling
from leveret.server.method_server import MethodServer


def _without(function: Callable[..., Any], **lines: str) -> CodeType:
    """The code of a function with some of its text replaced.

    :param lines: by any name, "text => other text"; each must be there.
    :raises LookupError: if one is not: the function has changed, and this file has to follow.
    """
    source = textwrap.dedent(inspect.getsource(function))
    for edit in lines.values():
        text, _, other = edit.partition(" => ")
        if text not in source:
            raise LookupError(f"{function.__qualname__} has no {text!r}")
        source = source.replace(text, other)
    flags = __future__.annotations.compiler_flag
    made: dict[str, Any] = {}
    names = cast("FunctionType", function).__globals__
    exec(compile(source, inspect.getfile(function), "exec", flags, dont_inherit=True), names, made)
    return cast("FunctionType", made[function.__name__]).__code__


_FUNCTIONS: Final = {
    Invocation.call: _without(
        Invocation.call,
        began="began = loop.time() => began = 0.0",
        started="counters.started += 1 => pass",
        answered="records.append(loop.time() - began) => pass",
    ),
    MethodServer.take: _without(MethodServer.take, started="source.counters.started += 1 => pass"),
    Counting.ended: _without(
        Counting.ended,
        ended="now, started, stream = => if not self._tracing: return\n    now, started, stream =",
    ),
    Settling.finish: _without(Settling.finish, finished="source.finished += 1 => pass"),
}
"""The functions that count, with their code when they do not."""
_COUNTS: Final = {function: cast("FunctionType", function).__code__ for function in _FUNCTIONS}


def count(on: bool) -> None:
    """Have calls that begin from now on counted, or not."""
    for function, without in _FUNCTIONS.items():
        cast("FunctionType", function).__code__ = _COUNTS[function] if on else without
