"""`Broker`: the embedded broker for tests, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from leveret.broker import EmbeddedBroker, Limits, Permissions, User
from leveret.testing.loop_thread import LoopThread
from leveret.testing.startable import Startable

__all__ = ["Broker"]

T = TypeVar("T")

_ANSWER_TIMEOUT: Final = 15.0
"""Seconds after which a broker that does not answer its own process is stuck."""


class Broker(Startable):
    """An AMQP broker for the length of a block, in memory; it starts in a few milliseconds.

    ::

        with leveret.testing.Broker() as broker:      # or `async with`
            async with leveret.connect(broker.url) as rabbit: ...

    It runs on an event loop in a thread of its own. So it serves clients that block, and clients of
    several event loops, and a test that holds up its own loop does not hold up the broker.

    :param host: where to listen; "localhost" is 127.0.0.1, and ::1 where there is IPv6.
    :param port: 0 for any free one.
    :param users: passwords, or `leveret.broker.User`s, by name; by default guest, guest.
    :param vhosts: the vhosts at the start; `add_vhost` makes more.
    :param limits: its bounds, for instance of memory (bytes) and of message size.
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
        self._thread = LoopThread("embedded broker")

    def start(self) -> Self:
        """Start it. Does nothing if it runs."""
        if self._thread.runs:
            return self
        self._thread.start()
        try:
            self._run(self._broker.start())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def close(self) -> None:
        """Close all connections (320, CONNECTION_FORCED) and drop all messages. Twice is fine."""
        if self._thread.runs:
            try:
                self._run(self._broker.close())
            finally:
                self._thread.stop()

    @property
    def url(self) -> str:
        """The AMQP URL of its first vhost, with its first user.

        :raises RuntimeError: if it has no vhosts, or no users.
        """
        return self._broker.url

    @property
    def port(self) -> int:
        """The port where it listens."""
        return self._broker.port

    def add_vhost(self, name: str) -> str:
        """Make a vhost for all users without permissions of their own; returns its URL."""
        return self._call(lambda: self._broker.add_vhost(name))

    def add_user(
        self, name: str, password: str, permissions: Mapping[str, Permissions] | None = None
    ) -> str:
        """Add a user, or replace it, and return its URL.

        Open connections keep the rights that they had.

        :param permissions: by vhost, for the vhosts that it may enter; None for all rights in all.
        """
        return self._call(lambda: self._broker.add_user(name, password, permissions))

    def delete_vhost(self, name: str) -> None:
        """Remove a vhost and its queues; connections to it are closed."""
        self._call(lambda: self._broker.delete_vhost(name))

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Close all connections, or those of one vhost; returns how many.

        Clients get 320, `CONNECTION_FORCED - <reason>`.
        """
        return self._call(lambda: self._broker.close_connections(reason, vhost=vhost))

    def block_publishers(self) -> None:
        """Raise the memory alarm: connections that publish are blocked (`connection.blocked`)."""
        self._call(self._broker.block_publishers)

    def unblock_publishers(self) -> None:
        """Clear the memory alarm (`connection.unblocked`)."""
        self._call(self._broker.unblock_publishers)

    def _call(self, function: Callable[[], T]) -> T:
        self._check_started()
        return self._thread.call(function, _ANSWER_TIMEOUT)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._thread.run(work, _ANSWER_TIMEOUT)

    def _check_started(self) -> None:
        if not self._thread.runs:
            raise RuntimeError("this broker is not started: enter it, or call start()")
