"""`Broker`: the embedded broker for tests, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from leveret.broker import EmbeddedBroker, Limits, Permissions, User
from leveret.testing.startable import Startable

__all__ = ["Broker"]

T = TypeVar("T")

_PATIENCE: Final = 15.0
"""Seconds after which a broker that does not answer its own process is stuck."""


class Broker(Startable):
    """An AMQP broker for the length of a block, in memory; it starts in a few milliseconds.

    ::

        with leveret.testing.Broker() as broker:      # or `async with`
            async with leveret.connect(broker.url) as rabbit: ...

    It runs on an event loop in a thread of its own. So clients that block can use it, several
    loops can, and a test that holds up its own loop does not hold up the broker.

    :param host: where to listen.
    :param port: 0 for any free one.
    :param users: passwords, or `leveret.broker.User`s, by name; by default guest, guest.
    :param vhosts: there from the start; `add_vhost` makes more.
    :param limits: the bounds it keeps, of memory and message size for instance.
    :raises OSError: (on entering) if it cannot listen there.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        users: Mapping[str, str | User] | None = None,
        vhosts: Sequence[str] = ("/",),
        *,
        limits: Limits | None = None,
    ) -> None:
        self._broker = EmbeddedBroker(host, port, users, vhosts, limits=limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start it; does nothing when that is done."""
        if self._loop is not None:
            return self
        self._loop = asyncio.new_event_loop()
        # A daemon: a program that forgets to close it can end all the same.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="embedded broker", daemon=True
        )
        self._thread.start()
        try:
            self._run(self._broker.start())
        except BaseException:
            self._end_thread()
            raise
        return self

    def close(self) -> None:
        """Hang up on all clients (320, CONNECTION_FORCED), forget all messages. Twice is fine."""
        if self._loop is not None:
            try:
                self._run(self._broker.close())
            finally:
                self._end_thread()

    @property
    def url(self) -> str:
        """The AMQP URL of its first vhost, with its first user."""
        return self._broker.url

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._broker.port

    def add_vhost(self, name: str) -> str:
        """Make a vhost that all users without permissions of their own may use; its URL."""
        return self._call(lambda: self._broker.add_vhost(name))

    def add_user(
        self, name: str, password: str, permissions: Mapping[str, Permissions] | None = None
    ) -> str:
        """Let a user in, and return the URL; one that is there is replaced.

        What is open stays open with the rights that it had.

        :param permissions: by vhost, for the vhosts that it may enter; None for all rights in all.
        """
        return self._call(lambda: self._broker.add_user(name, password, permissions))

    def delete_vhost(self, name: str) -> None:
        """Remove a vhost and its queues; connections to it are closed."""
        self._call(lambda: self._broker.delete_vhost(name))

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Close the connections, or those of one vhost; returns how many.

        Clients are told: 320, `CONNECTION_FORCED - <reason>`.
        """
        return self._call(lambda: self._broker.close_connections(reason, vhost=vhost))

    def block_publishers(self) -> None:
        """Raise the memory alarm: connections that publish are blocked (`connection.blocked`)."""
        self._call(self._broker.block_publishers)

    def unblock_publishers(self) -> None:
        """Clear the memory alarm (`connection.unblocked`)."""
        self._call(self._broker.unblock_publishers)

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._run(call())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("this broker is not started: enter it, or call start()")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _end_thread(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
