"""What a call needs of the client that sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from leveret.body_parts import Body
from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.calls.route import Route
from leveret.client.calls.sinks import Sink
from leveret.wire.dialect import ClientChannel, ClientDialect


class Sender(Protocol):
    """What a call needs of the client."""

    held: bool
    """Whether callers have to wait in `ready` before they send."""
    takes_from: asyncio.AbstractEventLoop | None
    """The event loop whose calls it takes; None once it takes none."""
    max_message_size: int
    """The size in bytes of the largest body that it sends and takes."""

    @property
    def channel(self) -> ClientChannel:
        """The current channel, or the last one."""
        ...

    def route(self, key: str, dialect: ClientDialect, label: str = "") -> Route:
        """What the client knows of the queue for requests with this routing key.

        :param label: how error messages name it, if not by its key.
        """
        ...

    async def ready(self, request: Request, timeout: float) -> float:
        """Wait until requests may go; returns what is left of `timeout`, in seconds.

        Must be called before each request while `held`, and if the request `looks_first`.

        :raises CallError: if they may not within `timeout`, or the call does not want to wait.
        """
        ...

    def send(
        self,
        request: Request,
        body: Body,
        timeout: float,
        sink: Sink,
        headers: bytes = b"",
        ids: Iterator[str] | None = None,
    ) -> Pending:
        """Send one request; its reply or error goes to the sink.

        :param timeout: seconds from now to the deadline.
        :param headers: the headers of this call, packed by the request's dialect.
        :param ids: gives the call its id; None: a new one.
        :raises CallError: if it is not sent.
        """
        ...

    def abandon(self, call: Pending) -> None:
        """The caller is gone; tell the server that has the request, if there is one."""
