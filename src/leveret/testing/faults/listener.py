"""The port of a `FaultProxy`, which it keeps even while it refuses connections."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["Listener"]

log = logging.getLogger("leveret.testing.faults.proxy")

_BACKLOG: Final = 128
_PAUSE: Final = 0.1
"""Seconds without accepting after the process ran out of file descriptors."""


class Listener:
    """A port that listens or does not; `on_client` gets the socket of each new connection."""

    def __init__(self, host: str, port: int, on_client: Callable[[socket.socket], None]) -> None:
        self.host = host
        self.port: int | None = None
        """None while it is not reserved."""
        self._wanted = port
        self._on_client = on_client
        self._open: socket.socket | None = None
        self._placeholder: socket.socket | None = None

    def reserve(self) -> None:
        """Bind the port, and keep it while connections are refused. Does nothing the second time.

        :raises OSError: if the port is in use.
        """
        if self.port is not None:
            return
        reserved = self._bound(self._wanted)
        self.port = reserved.getsockname()[1]
        if sys.platform == "linux":
            self._placeholder = reserved  # never listens, so with SO_REUSEADDR another one can
        else:
            reserved.close()

    def release(self) -> None:
        """Release the port."""
        self.stop()
        if self._placeholder is not None:
            self._placeholder.close()
        self._placeholder = self.port = None

    def listen(self) -> None:
        """Accept connections on the reserved port. Does nothing if none is reserved.

        :raises OSError: if another process listens there.
        """
        if self._open is None and self.port is not None:
            sock = self._bound(self.port)
            try:
                sock.listen(_BACKLOG)
            except BaseException:
                sock.close()
                raise
            self._open = sock
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def stop(self) -> None:
        """Refuse connections."""
        if self._open is not None:
            asyncio.get_running_loop().remove_reader(self._open)
            self._open.close()
            self._open = None

    def _accept(self, listening: socket.socket) -> None:
        try:
            client, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client did not wait
        except OSError as error:
            log.warning("a FaultProxy cannot accept a connection: %s", error)
            self._pause(listening)
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_client(client)

    def _pause(self, listening: socket.socket) -> None:
        """Accept again later: without file descriptors, each attempt would fail at once."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def go_on() -> None:
            if listening is self._open:
                loop.add_reader(listening, self._accept, listening)

        loop.call_later(_PAUSE, go_on)

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, port))
        except BaseException:
            sock.close()
            raise
        return sock
