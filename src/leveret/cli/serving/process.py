"""One server process: its services from their loading to the end of their drain.

`leveret serve` runs one `ServerProcess` in its own process; with `--workers`, each worker runs one.

The process handles SIGINT, SIGTERM and SIGHUP from before it opens the connection, so that it
always leaves a service that it has entered. Once it was told to stop, it ends: a thread that cannot
be cancelled, a blocked event loop or a service that hangs in its `__aexit__` delay the end by
`STOP_MARGIN` seconds after the grace, and no longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import leveret
from leveret.cli.exits import (
    CANNOT_LISTEN,
    CUT_SHORT,
    DONE,
    INTERRUPTED,
    UNEXPECTED,
    exit_code,
)
from leveret.cli.printing import describe
from leveret.cli.serving.monitoring import (
    CannotListen,
    Exposition,
    Health,
    Monitoring,
    MonitorOptions,
)
from leveret.cli.serving.request import Ending, ServeRequest
from leveret.cli.serving.stopping import end_process_after, enforce_stop
from leveret.cli.serving.systemd import SystemManager
from leveret.cli.targets import TargetError, load_middleware, load_services
from leveret.contract import Service
from leveret.errors import (
    ContractError,
    InvalidArgument,
    InvalidURL,
    PermissionDenied,
    TopologyError,
    Unauthenticated,
)
from leveret.server.options import GivenServeOptions
from leveret.server.server import Server
from leveret.wire.log_fields import shown_all

__all__ = ["STOP_MARGIN", "ServerProcess"]

log = logging.getLogger("leveret.cli")

STOP_MARGIN: Final = 5.0
"""Seconds that a stop may take after the grace, or after a second signal."""

_PERMANENT: Final = (
    ContractError,
    InvalidArgument,
    InvalidURL,
    PermissionDenied,
    TargetError,
    TopologyError,
    Unauthenticated,
)
"""Errors that another start would meet again. `ConnectionLost` is not among them."""


class ServerProcess:
    """Serves in this process until SIGINT, SIGTERM or SIGHUP; a second signal cuts the drain short.

    :param on_ready: called once, when it serves.
    :param monitor: where it answers those who monitor it.
    :param manager: who started it, and wants to know how it stands; a worker's is its supervisor's.
    :param supervised: whether it is a worker.
    """

    def __init__(
        self,
        request: ServeRequest,
        on_ready: Callable[[], None] = lambda: None,
        *,
        monitor: MonitorOptions | None = None,
        manager: SystemManager | None = None,
        supervised: bool = False,
    ) -> None:
        self._request = request
        self._monitor = monitor or MonitorOptions()
        self._manager = manager or SystemManager({})
        self._supervised = supervised
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready = on_ready
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = False
        self._stopped: asyncio.Future[None] | None = None
        self._cut_short = False

    def run(self) -> Ending:
        """Serve until the end, and say how it ended. Never raises."""
        if self._request.url:
            # Connections that the services open themselves, or processes that they start, go to
            # the same broker.
            os.environ["LEVERET_URL"] = self._request.url
        try:
            services = load_services(self._request.targets)
            middleware = load_middleware(self._request.middleware)
            leveret.run(self._run(services, {"middleware": middleware}))
        except KeyboardInterrupt:
            if self._server is not None:  # SIGINT itself is handled here by then
                return Ending(code=INTERRUPTED, error="a handler raised KeyboardInterrupt")
            return Ending(code=INTERRUPTED, error="interrupted before it served")
        except CannotListen as error:
            return Ending(code=CANNOT_LISTEN, error=str(error), permanent=True)
        except Exception as error:
            log.debug("the server ended with an error", exc_info=True)
            permanent = self._server is None and isinstance(error, _PERMANENT)
            return Ending(code=exit_code(error), error=_told(error), permanent=permanent)
        if self._cut_short:
            return Ending(code=CUT_SHORT, error="calls had to be cancelled to stop")
        return Ending(code=DONE)

    async def _run(self, services: Sequence[Service], loaded: GivenServeOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._manager.watch()
        try:
            async with Monitoring(self._monitor, self):
                await self._serve_until_signal(services, loaded)
        finally:
            self._manager.close()

    async def _serve_until_signal(
        self, services: Sequence[Service], loaded: GivenServeOptions
    ) -> None:
        self._serving = asyncio.create_task(self._serve(services, loaded))
        with enforce_stop(
            self._on_signal,
            limit=self._limit,
            margin=STOP_MARGIN,
            supervised=self._supervised,
        ):
            try:
                await self._serving
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
                log.info("stopped before it served")

    async def _serve(self, services: Sequence[Service], loaded: GivenServeOptions) -> None:
        request = self._request
        rabbit = leveret.connect(
            request.url,
            name=request.name,
            max_message_size=request.max_message_size,
            wait_for_broker=request.wait_for_broker,
        )
        options: GivenServeOptions = {**request.serve_options, **loaded}
        async with rabbit, rabbit.serving(*services, **options) as server:
            self._server = server
            self._on_ready()
            self._manager.ready()
            await self._until_stopped(server)

    async def _until_stopped(self, server: Server) -> None:
        """Wait for a signal, or an operator, and drain; or raise the error that ends the server.

        :raises LeveretError: if its connection or a channel is lost, in the drain as well.
        """
        assert self._stopped is not None
        await asyncio.wait(
            (self._stopped, server.failed, server.told_to_drain),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not (self._stopped.done() or server.told_to_drain.done()):
            # `serving` lets running handlers end, though their replies are lost.
            end_process_after(self._request.grace + STOP_MARGIN, _code_of(server))
            server.failed.result()
        grace = self._request.grace
        timer = asyncio.get_running_loop().call_later(grace, self._note_cut_calls, server)
        await server.drain(grace)
        timer.cancel()
        if server.failed.done():
            server.failed.result()

    # -- for those who monitor it ---------------------------------------------------------------

    @property
    def unready(self) -> str:
        """Why it takes no new calls at this moment; "" if it does."""
        if self._server is not None:
            return self._server.unready
        return "stopping" if self._stopping else "starting"

    def ask_unready(self, tell: Callable[[str], None]) -> None:
        """Have the event loop say how it stands: if it stands still, it does not. For threads.

        Before it runs there is no call, and this thread says so.
        """
        loop = self._loop
        if loop is None:
            tell("starting")
            return
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(lambda: tell(self.unready))

    async def health(self) -> Health:
        """How it stands. That it answers says that it lives."""
        return Health(unready=[why] if (why := self.unready) else [])

    async def exposition(self) -> Exposition:
        """Its metrics."""
        from leveret.metrics.exposition import (  # noqa: PLC0415 - of the extra `metrics`
            exposition_of_process,
        )

        return exposition_of_process

    # -- its end ---------------------------------------------------------------------------------

    def _limit(self) -> tuple[float, int]:
        """Seconds that a stop may take, and the exit code if it takes longer."""
        if self._server is None:  # there is no call to wait for
            return STOP_MARGIN, UNEXPECTED
        return self._request.grace + STOP_MARGIN, CUT_SHORT

    def _note_cut_calls(self, server: Server) -> None:
        self._cut_short = self._cut_short or bool(server.calls())

    def _on_signal(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._manager.stopping()
            if self._server is None:
                assert self._serving is not None
                self._serving.cancel()
            elif self._stopped is not None and not self._stopped.done():
                self._stopped.set_result(None)
            return
        if self._server is None:
            assert self._serving is not None
            self._serving.cancel()
        else:
            calls = self._server.calls()
            log.warning("a second signal: cancelling %s", shown_all(calls) or "no calls")
            self._note_cut_calls(self._server)
            self._server.cancel_running()


def _told(error: Exception) -> str:
    failed_loading = isinstance(error, TargetError) and error.__cause__ is not None
    in_users_code = failed_loading or exit_code(error) == UNEXPECTED
    hint = "; --log-level debug shows the traceback" if in_users_code else ""
    return f"{describe(error, of_call=False)}{hint}"


def _code_of(server: Server) -> int:
    error = server.failed.exception()
    return exit_code(error) if error is not None else DONE
