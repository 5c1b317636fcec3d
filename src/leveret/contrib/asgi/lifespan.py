"""`Lifespan`: the connection of a web app, what the app serves on it, and how both stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack

from leveret.contract import Service
from leveret.contrib.asgi.health import Receive, Scope, Send, Verdict, answer
from leveret.rabbit import Rabbit
from leveret.server.options import GivenServeOptions, ServeOptions
from leveret.server.server import Server
from leveret.transport.link import State

__all__ = ["Lifespan"]

log = logging.getLogger("leveret.server")


class Lifespan:
    """Opens a connection when a web app starts, and closes it when the app ends.

    It is what FastAPI, Starlette and Litestar take as `lifespan`. In the first two, handlers find
    the connection as `request.state.rabbit`, too.

    With services it serves them for as long as the app runs. With `connect(lazy=True)` the app
    starts at once, and serving begins as soon as the broker can be reached; without `lazy` the app
    starts when all is there, and an error ends its start. At the end calls that run get the grace
    of `rabbit.serving` before the connection is closed.

    The connection is this lifespan's: nobody else needs to open or close it. An app may be started
    and ended several times.

    :param rabbit: as `leveret.connect` gives it, also at import.
    :param services: what is served.
    :param options: those of `rabbit.serving`.
    :raises ContractError, InvalidArgument: if an option has a value that cannot be used.
    """

    def __init__(
        self, rabbit: Rabbit, *services: Service, **options: Unpack[GivenServeOptions]
    ) -> None:
        ServeOptions.of(**options)
        self.rabbit = rabbit
        """The connection."""
        self._services = services
        self._options = options
        self._serving: asyncio.Task[None] | None = None
        self._server: Server | None = None

    def __call__(self, app: object) -> AbstractAsyncContextManager[dict[str, Rabbit]]:
        """One life of an app, whichever it is, with the state of its requests.

        Entering it raises what `async with leveret.connect()` does, and for a connection without
        `lazy` what `rabbit.serving` does.
        """
        return self._life()

    @property
    def failure(self) -> str:
        """Why it will serve no more until the app is started anew; "" if it serves or may yet.

        That is so for what trying again does not cure: queues with other options, a service that
        cannot be served, a user who may not.
        """
        task = self._serving
        if task is None or not task.done() or task.cancelled():
            return ""
        return f"serving has failed: {task.exception()}"

    @property
    def unready(self) -> str:
        """Why calls from or to this process fail or wait at this moment; "" if they do not."""
        if self.failure:
            return self.failure
        if self.rabbit.state is not State.CONNECTED:
            return f"the connection to the broker: {self.rabbit.state}"
        if not self._services:
            return ""
        return "starting" if self._server is None else self._server.unready

    async def health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI app to mount: `/livez` and `/readyz`, with 200 or 503, and why, as JSON.

        It lives while the event loop answers and there is no `failure`: a broker that is away is no
        reason to start the app anew. It is ready while there is nothing in `unready`.
        """
        await answer(
            scope,
            send,
            {
                "livez": Verdict(good="alive", bad="dead", why=self.failure),
                "readyz": Verdict(good="ready", bad="not ready", why=self.unready),
            },
        )

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[dict[str, Rabbit]]:
        async with self.rabbit:
            if not self._services:
                yield {"rabbit": self.rabbit}
                return
            served = asyncio.get_running_loop().create_future()
            serving = self._serving = asyncio.create_task(self._serve(served))
            try:
                if self.rabbit.state is State.CONNECTED:
                    await asyncio.wait((serving, served), return_when=asyncio.FIRST_COMPLETED)
                    if serving.done():
                        serving.result()
                serving.add_done_callback(_log_failure)
                yield {"rabbit": self.rabbit}
            finally:
                serving.cancel()
                await asyncio.wait((serving,))
                self._server = None

    async def _serve(self, served: asyncio.Future[None]) -> None:
        """Serve until it is cancelled, then drain.

        :param served: is done when it serves.
        :raises LeveretError: why it cannot, or can no more.
        """
        async with self.rabbit.serving(*self._services, **self._options) as server:
            self._server = server
            served.set_result(None)
            await asyncio.wait((server.failed,))
            server.failed.result()


def _log_failure(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        log.error("the web app serves no more until it is started anew: %s", error)
