"""`connect`: as `leveret.connect`, for code without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import leveret.rabbit.connecting as asynchronous
from leveret.blocking.rabbit import Rabbit
from leveret.client.middleware import Middleware
from leveret.client.policy.breaker import Breaker
from leveret.contract import Hedge, Retry
from leveret.rabbit.options import MAX_IN_FLIGHT, MAX_MESSAGE_SIZE
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent
from leveret.transport.reconnect import Reconnect

__all__ = ["connect"]


def connect(
    url: str | None = None,
    *,
    name: str | None = None,
    timeout: float | None = None,
    middleware: Iterable[Middleware] = (),
    max_in_flight: int = MAX_IN_FLIGHT,
    max_message_size: int = MAX_MESSAGE_SIZE,
    retry: Retry | None = None,
    hedge: Hedge | float | None = None,
    breaker: Breaker | None = None,
    reconnect: Reconnect | bool = True,
    wait_for_broker: float = 0.0,
    on_connection: Callable[[ConnectionEvent], None] | None = None,
    credentials: Credentials | None = None,
    user_id: str | None = None,
) -> Rabbit:
    """A connection for code without asyncio; `with` opens and closes it.

    Without `with` the first call connects, and the end of the program closes it. So one may be made
    where a module is imported, also before a server forks its workers.

    The options are those of `leveret.connect`. `middleware`, `on_connection` and `on_progress` are
    called in the thread of the connection.

    :raises InvalidURL: at once, if the URL cannot be read.
    :raises InvalidArgument: at once, if an option has a value that cannot be used.
    """
    return Rabbit(
        asynchronous.connect(
            url,
            name=name,
            timeout=timeout,
            middleware=middleware,
            max_in_flight=max_in_flight,
            max_message_size=max_message_size,
            retry=retry,
            hedge=hedge,
            breaker=breaker,
            reconnect=reconnect,
            wait_for_broker=wait_for_broker,
            on_connection=on_connection,
            credentials=credentials,
            user_id=user_id,
        )
    )
