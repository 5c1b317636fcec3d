"""One server process: its services from their loading to the end of their drain.

`leveret serve` runs one `Serving` in its own process; with `--workers` each worker runs one.

SIGINT and SIGTERM are ours from before the connection is opened, so that a service which was
entered is always left. Once told to stop, the process ends: a thread that no cancellation reaches,
a blocked event loop or a service that hangs in its `__aexit__` hold it up for `SPARE` seconds after
the grace, not longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

import leveret
from leveret.cli.exits import CUT_SHORT, DONE, INTERRUPTED, exit_code
from leveret.cli.logs import LogLevel
from leveret.cli.printing import describe
from leveret.cli.stopping import end_process_after, stop_signals
from leveret.cli.targets import TargetError, load_services
from leveret.contract import Service
from leveret.errors import (
    ContractError,
    InvalidArgument,
    InvalidURL,
    PermissionDenied,
    TopologyError,
    Unauthenticated,
)
from leveret.server.server import Server

__all__ = ["SPARE", "Ending", "ServeOptions", "Serving"]

log = logging.getLogger("leveret.cli")

SPARE: Final = 5.0
"""Seconds after the grace, or after a second signal, that the rest of a stop may take."""

_HOPELESS: Final = (
    ContractError,
    InvalidArgument,
    InvalidURL,
    PermissionDenied,
    TargetError,
    TopologyError,
    Unauthenticated,
)
"""What another start would meet again. A broker that cannot be reached is none of them."""


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve and how; the options of `leveret serve` but for `--workers`."""

    targets: tuple[str, ...]
    """Each "module:Service"."""
    url: str | None = None
    name: str | None = None
    concurrency: int | None = None
    grace: float = 30.0
    """Seconds."""
    plain: dict[str, str] = {}
    """Queue names to "service.method"."""
    send_tracebacks: bool = False
    allow: dict[str, tuple[str, ...]] = {}
    """Who may call what: "service.method", "service" or "*" to users."""
    once: str | None = None
    """The URL of the store of idempotency keys."""
    wait_for_broker: float = 0.0
    """Seconds."""
    log_level: LogLevel = LogLevel.INFO


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a server process ended."""

    code: int
    """The exit code."""
    error: str = ""
    """One line, "" after a stop that was asked for."""
    hopeless: bool = False
    """Whether it could not even start, and another one could not either."""


class Serving:
    """Serves in this process until SIGINT or SIGTERM; a second signal cuts the drain short."""

    def __init__(self, options: ServeOptions, on_ready: Callable[[], None] = lambda: None) -> None:
        self._options = options
        self._on_ready = on_ready
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = False
        self._stopped: asyncio.Future[None] | None = None
        self._cut_short = False

    def run(self) -> Ending:
        """Serve, to the end. Never raises."""
        if self._options.url:
            # So that connections of the services' own go to the same broker, as do those of the
            # processes that they start.
            os.environ["LEVERET_URL"] = self._options.url
        try:
            leveret.run(self._run(load_services(self._options.targets)))
        except KeyboardInterrupt:
            if self._server is not None:  # SIGINT itself is ours by then
                return Ending(code=INTERRUPTED, error="a handler raised KeyboardInterrupt")
            return Ending(code=INTERRUPTED, error="interrupted before it served")
        except Exception as error:
            log.debug("the server ended with an error", exc_info=True)
            hopeless = self._server is None and isinstance(error, _HOPELESS)
            return Ending(code=exit_code(error), error=describe(error), hopeless=hopeless)
        if self._cut_short:
            return Ending(code=CUT_SHORT, error="calls had to be cancelled to stop")
        return Ending(code=DONE)

    async def _run(self, services: Sequence[Service]) -> None:
        self._stopped = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(services))
        patience = self._options.grace + SPARE
        with stop_signals(self._on_signal, patience=patience, spare=SPARE, code=CUT_SHORT):
            try:
                await self._serving
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
                log.info("stopped before it served")

    async def _serve(self, services: Sequence[Service]) -> None:
        options = self._options
        rabbit = leveret.connect(
            options.url, name=options.name, wait_for_broker=options.wait_for_broker
        )
        async with (
            rabbit,
            rabbit.serving(
                *services,
                plain=options.plain,
                grace=options.grace,
                concurrency=options.concurrency,
                send_tracebacks=options.send_tracebacks,
                allow=options.allow or None,
                once=options.once,
            ) as server,
        ):
            self._server = server
            self._on_ready()
            await self._until_stopped(server)

    async def _until_stopped(self, server: Server) -> None:
        """Wait for a signal and drain, or for what breaks the server.

        :raises LeveretError: if its connection or a channel is lost, in the drain as well.
        """
        assert self._stopped is not None
        await asyncio.wait((self._stopped, server.failed), return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped.done():
            # What runs may end, though nobody will hear of it; `serving` waits for it.
            end_process_after(self._options.grace + SPARE, _code_of(server))
            server.failed.result()
        grace = self._options.grace
        over = asyncio.get_running_loop().call_later(grace, self._note_what_is_cut, server)
        await server.drain(grace)
        over.cancel()
        if server.failed.done():
            server.failed.result()

    def _note_what_is_cut(self, server: Server) -> None:
        self._cut_short = self._cut_short or bool(server.running())

    def _on_signal(self) -> None:
        if not self._stopping:
            self._stopping = True
            if self._server is None:
                assert self._serving is not None
                self._serving.cancel()
            elif self._stopped is not None and not self._stopped.done():
                self._stopped.set_result(None)
            return
        if self._server is not None:
            log.warning("a second signal: cancelling %d calls", len(self._server.running()))
            self._note_what_is_cut(self._server)
            self._server.hurry()


def _code_of(server: Server) -> int:
    error = server.failed.exception()
    return exit_code(error) if error is not None else DONE
