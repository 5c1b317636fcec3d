"""Serves the console by uvicorn, for the command line."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from typing import Final

import uvicorn

from leveret.console.access import LOOPBACK
from leveret.console.application import app
from leveret.rabbit.connecting import connect

__all__ = ["CannotListen", "is_loopback", "serve"]

log = logging.getLogger("leveret.console")

_GRACE: Final = 5
"""Seconds that pages have to end when the console stops."""


class CannotListen(OSError):
    """The port is in use, or the host is another's."""


class _Server(uvicorn.Server):
    """Ends the feeds of open pages when it stops: it waits for all responses.

    :param end_feeds: does so.
    :param on_started: told once it serves.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        end_feeds: Callable[[], None],
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._end_feeds = end_feeds
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._end_feeds()
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    return host in LOOPBACK or host.startswith("127.")


def serve(
    url: str | None,
    *,
    host: str,
    port: int,
    allow_calls: bool,
    token: str,
    user_header: str,
    root_path: str,
    show_arguments: bool,
    on_listening: Callable[[str], None],
    trace_link: str = "",
) -> None:
    """Serve until a signal says to stop.

    Without log-in it answers to the names of this machine only: else any web site could have its
    own name lead here, and read along.

    :param on_listening: told its URL, and where a proxy has it, once it serves.
    :raises InvalidURL: if the broker's URL cannot be read, or that of traces is none.
    :raises CannotListen: if it cannot listen there.
    """
    connect(url, lazy=True)  # only reads the URL, before anything listens
    is_open = not (token or user_header)
    root_path = "/" + root_path.strip("/") if root_path.strip("/") else ""
    console = app(
        url,
        allow_calls=allow_calls,
        token=token,
        user_header=user_header,
        hosts=(*LOOPBACK, host) if is_open else (),
        show_arguments=show_arguments,
        trace_link=trace_link,
    )
    config = uvicorn.Config(
        console,
        log_config=None,
        access_log=False,
        ws="none",
        root_path=root_path,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListen(f"the console cannot listen at {host}:{port}: {error}") from error
    shown = f"[{host}]" if ":" in host else host
    where = f"http://{shown}:{listener.getsockname()[1]}/"
    if root_path:
        where += f", for a proxy that has it at {root_path}/"

    def started() -> None:
        log.info("the console listens at %s", where)
        on_listening(where)

    server = _Server(config, console.state.end_feeds, started)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises a signal again once it has stopped: it is to be heard, and to kill nothing.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with listener:
            server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
