"""What remotes are made on before there is a client, at import even, when no event loop runs."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator

from leveret.body_parts import Body
from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.calls.route import Route
from leveret.client.calls.sinks import Sink
from leveret.client.invocation import Sender
from leveret.errors import ConnectionLost
from leveret.wire.dialect import NO_CHANNEL, ClientChannel, ClientDialect
from leveret.wire.native.names import call_ids


class Unconnected:
    """Stands for the client of a connection until a call asks for it.

    It takes the calls of no loop, so each call that meets it asks `here` for the client.

    :param here: the client for calls of the running loop; `RuntimeError` if there is none.
    :param max_message_size: bytes of the largest body that the client will send and take.
    """

    def __init__(self, here: Callable[[], Sender], *, max_message_size: int) -> None:
        self.held = True
        self.takes_from: AbstractEventLoop | None = None
        self.max_message_size = max_message_size
        self._here = here
        self._ids = call_ids()

    @property
    def channel(self) -> ClientChannel:
        """In place of a channel."""
        return NO_CHANNEL

    def here(self) -> Sender:
        """The client for calls of the running event loop.

        :raises RuntimeError: if there is none in that loop.
        """
        return self._here()

    def route(self, key: str, dialect: ClientDialect, label: str = "") -> Route:
        """A route of which nothing is known."""
        return Route(label or key, dialect.queue(key), dialect.control_key(key))

    def new_id(self) -> str:
        """A call id that no call has had."""
        return next(self._ids)

    async def ready(self, request: Request, timeout: float) -> float:
        """Refuse a request.

        :raises ConnectionLost: always.
        """
        raise _not_connected(request)

    def send(
        self,
        request: Request,
        body: Body,
        timeout: float,
        sink: Sink,
        headers: bytes = b"",
        ids: Iterator[str] | None = None,
    ) -> Pending:
        """Refuse a request.

        :raises ConnectionLost: always.
        """
        raise _not_connected(request)

    def abandon(self, call: Pending) -> None:
        """Nothing was sent."""


def _not_connected(request: Request) -> ConnectionLost:
    error = ConnectionLost("not connected", executed="no", method=request.route.key)
    error.attempts = 0
    return error
