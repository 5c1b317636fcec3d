"""`connect`: reads its options, and makes a `Rabbit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from leveret.client.middleware import Middleware
from leveret.client.options import CallOptions
from leveret.client.policy.breaker import Breaker
from leveret.client.policy.call_policy import Policies
from leveret.contract import Hedge, Retry
from leveret.errors import InvalidArgument, InvalidURL
from leveret.given_middleware import read_middleware
from leveret.rabbit.connection import BrokerConnection
from leveret.rabbit.options import (
    MAX_IN_FLIGHT,
    MAX_MESSAGE_SIZE,
    ConnectionOptions,
    read_address,
)
from leveret.rabbit.rabbit import Rabbit
from leveret.transport.address import Address
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent
from leveret.transport.reconnect import Reconnect, as_reconnect
from leveret.transport.url import FORM, embedded_name

__all__ = ["connect"]

DEFAULT_URL: Final = "amqp://guest:guest@localhost/"


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
    lazy: bool = False,
) -> Rabbit:
    """Connect to RabbitMQ, with `async with`, or with `await` and `rabbit.close()`.

    Several tasks of a loop may `await` one `Rabbit`. The first one connects, and all wait for that;
    after a failure the next one tries again.

    :param url: `amqp://user:password@host:port/vhost`, or amqps; several hosts with commas between
        them. Default: the environment's LEVERET_URL, otherwise amqp://guest:guest@localhost/.
        `embedded://` is a broker in this process, in memory, which all connections to it in the
        same event loop share: the first one starts it, and it ends with the last one.
        `embedded://name` is a separate broker for each name.
    :param name: the name of this client, for servers (`current_call().caller`) and in RabbitMQ's
        list of connections. Default: none for servers, host and process in the list.
    :param timeout: seconds a call may take, instead of what each method says.
    :param middleware: around each call: `async def (call, call_next)`, the first outermost.
    :param max_in_flight: how many calls may wait for their replies; further ones fail with `Busy`.
    :param max_message_size: bytes of the largest body to send or to accept.
    :param retry: a `Retry`: how calls are retried after a failure, if neither the method nor the
        caller (`with_options`) says. None: not at all.
    :param hedge: for idempotent methods, if neither the method nor the caller says: seconds, or a
        `Hedge`, after which a second request is sent in addition to a slow one. None: never.
    :param breaker: a `Breaker`: when calls of a failing service fail at once with `CircuitOpen`
        instead of being sent, and when one is tried again. None: never.
    :param reconnect: whether and how a broken connection is opened again: a `Reconnect`; True for
        its defaults, which never give up; or False: then pending calls end, and `serve` raises.
    :param wait_for_broker: seconds to keep trying, when entered or awaited, while no broker can be
        reached.
    :param on_connection: called with a `ConnectionEvent` each time that the state changes; must
        return at once.
    :param credentials: returns user and password, `() -> (str, str)`, plain or async; called for
        each connection. Default: those in the URL, otherwise the environment's LEVERET_USERNAME and
        LEVERET_PASSWORD or LEVERET_PASSWORD_FILE, otherwise guest, guest.
    :param user_id: the broker's name for the user, which it verifies, and which servers see as
        `current_call().user`. Needed only if that is not the user that logs in, as with a client
        certificate. "" sends none.
    :param lazy: True: remotes can be made at once, even at import, and the first call, `serve` or
        `await` begins to connect in the background. Calls wait for the connection until their
        deadlines, servers without limit. Attempts follow each other as `reconnect` says. An error
        that no attempt can cure (a wrong password) ends calls and servers at once, until the next
        `await rabbit` or `async with rabbit`.
    :raises InvalidURL: at once, if the URL cannot be read.
    :raises InvalidArgument: at once, if an option has a value that cannot be used.
    :raises ConnectionLost: when entered or awaited, if no broker can be reached.
    :raises Unauthenticated: when entered or awaited, if the broker refuses user and password.
    :raises PermissionDenied: when entered or awaited, if the user may not use the vhost.
    """
    options = ConnectionOptions(
        name="" if name is None else name,
        max_in_flight=max_in_flight,
        max_message_size=max_message_size,
        reconnect=as_reconnect(reconnect),
        wait_for_broker=wait_for_broker,
        on_connection=on_connection,
        lazy=lazy,
    )
    address = _address(_url(url), credentials, user_id)
    return Rabbit(
        BrokerConnection(address, options),
        options=CallOptions().merged({"timeout": timeout}),
        middleware=_middleware(middleware),
        policies=Policies(retry=retry, hedge=hedge, breaker=breaker),
    )


def _middleware(given: Iterable[Middleware]) -> tuple[Middleware, ...]:
    try:
        return read_middleware(given)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def _url(given: str | None) -> str:
    """The given URL, or that of the environment, or the default."""
    url = os.environ.get("LEVERET_URL", DEFAULT_URL) if given is None else given
    what: object = url
    if not isinstance(what, str):
        # Without the value: bytes, for one, may hold a password.
        port = f"; for the port {what} of this machine write amqp://localhost:{what}/"
        raise InvalidURL(
            f"the broker URL is not valid: it must be a str, not {type(what).__name__}"
            f"{port if type(what) is int else ''}. The right form: {FORM}"
        )
    if not url.strip():
        where = "the URL" if given is not None else "LEVERET_URL"
        raise InvalidURL(
            f"the broker URL is not valid: {where} is empty. The right form: {FORM}. Without"
            f" {'a URL and ' if given is not None else ''}LEVERET_URL it is"
            " amqp://guest:guest@localhost/"
        )
    return url


def _address(url: str, credentials: Credentials | None, user_id: str | None) -> Address | str:
    """The broker's address, or the name of an embedded one."""
    name = embedded_name(url)
    if name is None:
        return read_address(url, credentials, user_id)
    if credentials is not None or user_id is not None:
        raise InvalidArgument("embedded:// is a broker in this process: it has no other users")
    return name
