"""Puts the world's clock and dice in the place of the machine's, for everything that runs in it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.simulation.loop import number_anew
from tests.simulation.world import World

_OF_THE_DEAD: Final = (
    "no running event loop",
    "coroutine ignored GeneratorExit",
    "aclose(): asynchronous generator is already running",
    "async generator ignored GeneratorExit",
)
"""What coroutines say that are closed at an await, and await something else on their way out."""

_PID: Final = 1_234
_ELSEWHERE: Final = "was created in a different Context"
"""What context variables say that are reset by a coroutine which is closed outside of its task."""


@contextmanager
def in_place(world: World, seed: int) -> Iterator[None]:
    """Have `time`, `os.urandom`, `secrets` and `random` be those of the world, and one process id.

    The garbage collector is off meanwhile: it would run finalizers at a time of its own.
    """
    module: Any = random
    dice = random.Random(f"{seed} system")
    names = ("time", "time_ns", "monotonic", "monotonic_ns")
    clocks = {name: getattr(time, name) for name in names}
    before = os.urandom, module._urandom, random.getstate()
    getpid = os.getpid
    all_tasks: Any = asyncio.tasks._all_tasks  # type: ignore[attr-defined]
    collects = gc.isenabled()
    gc.disable()
    number_anew()
    random.seed(f"{seed} random")
    time.time = world.wall
    time.time_ns = lambda: int(world.wall() * 1e9)
    time.monotonic = world.monotonic
    time.monotonic_ns = lambda: int(world.monotonic() * 1e9)
    os.urandom = module._urandom = dice.randbytes
    os.getpid = lambda: _PID  # servers tell it, so it is in what they send
    all_tasks.add = id  # nobody asks for all tasks, and to note each takes long
    try:
        yield
    finally:
        for name, clock in clocks.items():
            setattr(time, name, clock)
        os.urandom, module._urandom, state = before
        os.getpid = getpid
        del all_tasks.add
        random.setstate(state)
        if collects:
            gc.enable()


@contextmanager
def buried(*, collects: bool = True) -> Iterator[list[str]]:
    """Let go of a world; yields what went wrong in finalizers, once the context has ended.

    What the dead processes of a world had begun is closed where no event loop runs, and complains
    of that. All else is told: the product must not raise where nobody can catch it.

    :param collects: whether finalizers run of what refers to itself; if not, that stays for ever.
    """
    others: list[str] = []
    hook = sys.unraisablehook

    def note(unraisable: Any) -> None:
        if not is_of_the_dead(unraisable):
            others.append(f"in a finalizer: {unraisable.exc_value!r} of {unraisable.object!r}")

    sys.unraisablehook = note
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield others
            if collects:
                gc.collect()
            else:
                gc.freeze()
    finally:
        sys.unraisablehook = hook


def is_of_the_dead(unraisable: Any) -> bool:
    """Whether a finalizer raised only because what it ends was in the middle of something."""
    error = unraisable.exc_value
    if isinstance(error, ValueError):
        return str(error).endswith(_ELSEWHERE)
    return isinstance(error, RuntimeError) and str(error) in _OF_THE_DEAD
