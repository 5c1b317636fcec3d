"""Puts the world's clock and dice in the place of the machine's, for everything that runs in it."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulation.loop import number_anew
from tests.simulation.world import World


@contextmanager
def in_place(world: World, seed: int) -> Iterator[None]:
    """Have `time`, `os.urandom`, `secrets` and `random` be those of the world.

    The garbage collector is off meanwhile: it would run finalizers at a time of its own.
    """
    module: Any = random
    dice = random.Random(f"{seed} system")
    names = ("time", "time_ns", "monotonic", "monotonic_ns")
    clocks = {name: getattr(time, name) for name in names}
    before = os.urandom, module._urandom, random.getstate()
    collects = gc.isenabled()
    gc.disable()
    number_anew()
    random.seed(f"{seed} random")
    time.time = world.wall
    time.time_ns = lambda: int(world.wall() * 1e9)
    time.monotonic = world.monotonic
    time.monotonic_ns = lambda: int(world.monotonic() * 1e9)
    os.urandom = module._urandom = dice.randbytes
    try:
        yield
    finally:
        for name, clock in clocks.items():
            setattr(time, name, clock)
        os.urandom, module._urandom, state = before
        random.setstate(state)
        if collects:
            gc.enable()


@contextmanager
def silence() -> Iterator[None]:
    """Let go of a world: what its dead processes had begun ends in no event loop, and complains."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook
