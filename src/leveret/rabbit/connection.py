"""The connection of a `Rabbit`: what it has open, and in which event loop."""

from __future__ import annotations

from typing import Final

from leveret.client.calls.client import Client
from leveret.observe import ConnectionCounters
from leveret.rabbit.opened import Opened
from leveret.rabbit.options import ConnectionOptions
from leveret.transport.address import Address
from leveret.transport.event_loop import check_loop
from leveret.transport.link import State

__all__ = ["BrokerConnection"]

_NOT_CONNECTED: Final = (
    "not connected: use `async with leveret.connect() as rabbit`,"
    " or `rabbit = await leveret.connect()`, or leveret.connect(lazy=True), which connects at its"
    " first use"
)
_CLOSED: Final = (
    "not connected: it was closed; `async with rabbit` or `await rabbit` opens it again, in the"
    " event loop of now"
)


class BrokerConnection:
    """A connection that can be opened and closed several times, each time in any event loop.

    :param address: the broker, or the name of an embedded one.
    """

    def __init__(self, address: Address | str, options: ConnectionOptions) -> None:
        self.options = options
        self.counters = ConnectionCounters()
        """Counts its connections."""
        self._address = address
        self._opened: Opened | None = None
        self._is_closed = False

    def __str__(self) -> str:
        """The name that servers know, the state, and the URL without the password."""
        named = f" {self.options.name!r}" if self.options.name else ""
        url = self._address if isinstance(self._address, Address) else f"embedded://{self._address}"
        return f"{named}, {self.state}, {url}"

    @property
    def address(self) -> Address | str:
        """The broker, or the name of an embedded one."""
        return self._address

    @property
    def state(self) -> State:
        """Connecting, connected, reconnecting or closed."""
        if self._opened is not None:
            return self._opened.state
        return State.CONNECTING if self._is_awaited else State.CLOSED

    @property
    def _is_awaited(self) -> bool:
        """Whether the first use connects."""
        return self.options.lazy and not self._is_closed

    @property
    def is_unopened(self) -> bool:
        """Whether it is not open: it never was, it was closed, or its event loop has ended."""
        return self._opened is None or self._is_closed or self._opened.loop.is_closed()

    def leave_to_parent(self) -> object:
        """This process was forked: leave what is open to the parent.

        :returns: what was open; it must be kept alive and not be touched.
        """
        opened, self._opened = self._opened, None
        self.counters.reconnects = self.counters.late_replies = 0
        return opened

    def check_opened(self) -> None:
        """:raises RuntimeError: if it was never opened, and is not lazy."""
        if self._opened is None and not self._is_awaited:
            raise RuntimeError(_CLOSED if self._is_closed else _NOT_CONNECTED)

    @property
    def client(self) -> Client | None:
        """The current client, or the last one; None if there never was one.

        :raises RuntimeError: if it was never opened, and is not lazy.
        """
        self.check_opened()
        return None if self._opened is None else self._opened.client

    def client_here(self) -> Client:
        """The client for calls of the running event loop, or the last one, which refuses them.

        :raises RuntimeError: if it is not connected, or belongs to another event loop.
        """
        return self._opened_here().client

    def opened_here(self) -> Opened:
        """What is open in the running event loop.

        :raises RuntimeError: if it is not open, or belongs to another event loop.
        """
        opened = self._opened_here()
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        return opened

    def _opened_here(self) -> Opened:
        self.check_opened()
        opened = self._opened
        if opened is None:
            opened = self._begin()
        check_loop(opened.loop)
        return opened

    async def open(self) -> None:
        """Connect, or wait for a connect that is under way; do nothing if it is connected.

        A lazy connection only begins to connect.

        :raises RuntimeError: if it is open in another event loop.
        :raises ConnectionLost: if no broker can be reached, or the connection breaks at its start.
        :raises Unauthenticated: if the broker refuses user and password.
        :raises PermissionDenied: if the user may not use the vhost.
        """
        opened = self._opened
        if opened is None or self._is_closed or opened.state is State.CLOSED:
            opened = await self._open_anew(opened)
        else:
            check_loop(opened.loop)
        if self.options.lazy:
            return
        try:
            await opened.ready()
        except BaseException:
            if self._opened is opened and opened.state is State.CLOSED:
                self._opened = None  # it is as if it had not been tried
            raise

    async def close(self) -> None:
        """Drain the servers, end pending calls, delete the reply queue, close the link.

        Calling it twice is fine.

        :raises RuntimeError: if it is open in another event loop, or its loop has ended.
        """
        opened = self._opened
        if opened is not None and not self._is_closed:
            check_loop(opened.loop)
        self._is_closed = True
        if opened is not None:
            await opened.close()

    def _begin(self) -> Opened:
        opened = self._opened = Opened(self._address, self.options, self.counters)
        self._is_closed = False
        return opened

    async def _open_anew(self, before: Opened | None) -> Opened:
        given_up = before is not None and not self._is_closed and not before.loop.is_closed()
        if before is not None and given_up:
            check_loop(before.loop)
        opened = self._begin()
        if before is not None and given_up:
            await before.close()  # what is left of it
        return opened
