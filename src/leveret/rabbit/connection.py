"""What a `Rabbit` stands on: a link to a broker, and the client on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.client.calls.client import Client
from leveret.errors import ConnectionLost
from leveret.rabbit.options import ConnectionOptions
from leveret.transport.address import Address
from leveret.transport.link import Link, State
from leveret.transport.opening import default_name
from leveret.wire.native.topology import declare_exchanges

__all__ = ["BrokerConnection"]

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a broker has to answer while a connection is closed."""

_NOT_CONNECTED: Final = (
    "not connected: use `async with leveret.connect() as rabbit`,"
    " or `rabbit = await leveret.connect()`"
)


class BrokerConnection:
    """Opens and closes a link, the client on it and, for `embedded://`, the broker.

    :param address: the broker, or the name of an embedded one.
    """

    def __init__(self, address: Address | str, options: ConnectionOptions) -> None:
        self.options = options
        self.name = options.name or default_name()
        """The name of the connection."""
        self._address = address
        self._opening = asyncio.Lock()
        self._link: Link | None = None
        self._client: Client | None = None
        self._leave_embedded: Callable[[], Awaitable[None]] | None = None

    def __str__(self) -> str:
        """The name that servers know, the state, and the URL without the password."""
        named = f" {self.options.name!r}" if self.options.name else ""
        url = self._address if isinstance(self._address, Address) else f"embedded://{self._address}"
        return f"{named}, {self.state}, {url}"

    @property
    def state(self) -> State:
        """Connecting, connected, reconnecting or closed."""
        return State.CLOSED if self._link is None else self._link.state

    @property
    def link(self) -> Link:
        """The link, while it is open.

        :raises RuntimeError: if it is not.
        """
        if self._link is None:
            raise RuntimeError(_NOT_CONNECTED)
        return self._link

    @property
    def client(self) -> Client:
        """The client of the link, or of the last one that was closed.

        :raises RuntimeError: if there never was one.
        """
        if self._client is None:
            raise RuntimeError(_NOT_CONNECTED)
        return self._client

    async def open(self) -> bool:
        """Open the link and start a new client; False if that is done already.

        :raises ConnectionLost: if no broker can be reached, or the connection breaks at its start.
        :raises Unauthenticated: if the broker refuses user and password.
        :raises PermissionDenied: if the user may not use the vhost.
        """
        async with self._opening:
            if self._link is not None:
                return False
            try:
                await self._open()
            except BaseException:
                await self.close()
                raise
            return True

    async def close(self) -> None:
        """End pending calls, delete the reply queue, close the link. Twice is fine.

        After `CLOSE_TIMEOUT` seconds without an answer the link is aborted.
        """
        link, self._link = self._link, None
        leave, self._leave_embedded = self._leave_embedded, None
        try:
            if link is not None:
                await self._close(link)
        finally:
            if leave is not None:
                await leave()

    async def _open(self) -> None:
        options = self.options
        address = self._reach()
        link = self._link = Link(
            address,
            name=self.name,
            max_message_size=options.max_message_size,
            reconnect=options.reconnect,
            prepare=declare_exchanges,
            on_event=options.on_connection,
        )
        await link.open(patience=options.wait_for_broker)
        self._client = Client(
            link,
            name=options.name,
            max_in_flight=options.max_in_flight,
            max_message_size=options.max_message_size,
        )
        try:
            async with asyncio.timeout(max(options.wait_for_broker, address.connection_timeout)):
                await self._client.start()
        except TimeoutError as error:
            raise ConnectionLost(
                f"cannot connect to {address}: the connection broke at its start, again and again:"
                f" {link.failure}",
                executed="no",
            ) from error

    def _reach(self) -> Address:
        """The broker's address; an embedded broker is started if it does not run."""
        if isinstance(self._address, Address):
            return self._address
        from leveret.broker.shared import share  # noqa: PLC0415 - few need a broker in the process

        name = self._address
        broker = share(name)
        self._leave_embedded = broker.leave
        host = f"embedded-{name}" if name else "embedded"
        return Address(hosts=((host, 0),), dial=broker.connect)

    async def _close(self, link: Link) -> None:
        timer = link.loop.call_later(CLOSE_TIMEOUT, link.abort, "the broker answers no goodbye")
        try:
            if self._client is not None:
                await self._client.close()
        finally:
            try:
                await link.close()
            finally:
                timer.cancel()
