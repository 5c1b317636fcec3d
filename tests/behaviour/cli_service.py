"""What the tests of the command line serve: copied into a folder of their own, served from there.

Handlers meet their test through files, since they run in other processes: `meet` makes one to say
that it runs, and waits for another to go on.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated, Any

from leveret import DeclaredError, Meta, PermissionDenied, Service, current_call, method


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str


class Desk(Service, name="desk", version="7.1"):
    """Answers, fails and waits, as it is told."""

    @method(idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        """Return the n-th Fibonacci number."""
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a

    @method
    async def echo(self, value: Any) -> Any:
        return value

    @method
    async def metadata(self) -> dict[str, str]:
        return dict(current_call().metadata)

    @method(idempotent=True)
    async def process(self) -> int:
        return os.getpid()

    @method(raises=[OutOfStock])
    async def fail(self, how: str) -> int:
        match how:
            case "declared":
                raise OutOfStock(sku="A-1")
            case "denied":
                raise PermissionDenied("not you")
            case "result":
                return "no number"  # type: ignore[return-value]
        raise ZeroDivisionError("by zero\nin two lines \x1b[31m")

    @method(timeout=30, concurrency=1)
    async def meet(self, folder: str) -> str:
        """Say in the folder that it runs; end once it may."""
        _say_it_runs(folder)
        while not _may_end(folder):  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(0.005)
        return "met"

    @method(timeout=30)
    def meet_in_a_thread(self, folder: str) -> str:
        """The same, where no cancellation reaches it."""
        _say_it_runs(folder)
        while not _may_end(folder):
            time.sleep(0.005)
        return "met"


def _say_it_runs(folder: str) -> None:
    Path(folder, "runs").touch()


def _may_end(folder: str) -> bool:
    return Path(folder, "may-end").exists()


desk = Desk()


def make_desk() -> Desk:
    return Desk()


def make_nothing() -> None:
    """No factory."""


class NeedsArguments(Service):
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @method
    async def query(self) -> str:
        return self.dsn


class CannotOpen(Service):
    """Its database is away."""

    async def __aenter__(self) -> None:
        raise OSError("the database is away")

    async def __aexit__(self, *error: object) -> None:
        pass

    @method
    async def query(self) -> int:
        return 1


class Priority(Service, name="desk"):
    """Wants the queue of `Desk.fib` with other options."""

    @method(priority_levels=5)
    async def fib(self, n: int) -> int:
        return n
