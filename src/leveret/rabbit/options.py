"""The options of `connect`, checked when it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from leveret.amqp.properties import short_string
from leveret.errors import InvalidArgument
from leveret.given_numbers import is_duration, is_whole
from leveret.transport.address import Address
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent
from leveret.transport.reconnect import Reconnect
from leveret.transport.url import parse_url

__all__ = ["MAX_IN_FLIGHT", "MAX_MESSAGE_SIZE", "ConnectionOptions", "read_address"]

MAX_IN_FLIGHT: Final = 10_000
"""The default of `max_in_flight`, in calls."""
MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024
"""The default of `max_message_size`, in bytes."""
_MOST_IN_FLIGHT: Final = 2**31 - 1
_LARGEST_MESSAGE: Final = 2**63 - 1
"""AMQP gives the size of a body 64 bits, and Python's own sizes have 63."""


class ConnectionOptions(Struct, frozen=True, kw_only=True):
    """How a connection is opened, restored and used; `connect` says more of each.

    :raises InvalidArgument: if a value cannot be used.
    :raises ValueError: if the name is longer than AMQP takes.
    """

    name: str
    """The name for servers and for RabbitMQ's list of connections; empty for the default."""
    max_in_flight: int
    """How many calls may wait for their replies."""
    max_message_size: int
    """Bytes of the largest body to send or to accept."""
    reconnect: Reconnect
    """Whether and how a broken connection is opened again."""
    wait_for_broker: float
    """Seconds to keep trying at the start while no broker can be reached."""
    on_connection: Callable[[ConnectionEvent], None] | None
    """Called each time that the state changes."""
    lazy: bool
    """Whether the first use connects, in the background; only calls and servers wait for it."""

    def __post_init__(self) -> None:
        _check_limit("max_in_flight", self.max_in_flight, _MOST_IN_FLIGHT)
        _check_limit("max_message_size", self.max_message_size, _LARGEST_MESSAGE)
        _check_text("name", self.name)
        _check_seconds("wait_for_broker", self.wait_for_broker)
        _check_callable("on_connection", self.on_connection)
        _check_lazy(self.lazy, self.wait_for_broker)
        if iscoroutinefunction(self.on_connection):
            raise InvalidArgument(
                "on_connection must be a plain function, as nobody awaits it; got an async one, of"
                " which it may make a task"
            )


def read_address(url: str, credentials: Credentials | None, user_id: str | None) -> Address:
    """The address of the broker, with the credentials.

    :raises InvalidURL: if the URL cannot be read.
    :raises InvalidArgument: if `credentials` is not callable, or `user_id` is no text.
    :raises ValueError: if `user_id` is longer than AMQP takes.
    """
    _check_callable("credentials", credentials)
    if user_id is not None:
        _check_text("user_id", user_id)
    address = parse_url(url, {} if credentials is not None else os.environ)
    if credentials is not None:
        address = replace(address, credentials=credentials)
    return replace(address, user_id=user_id)


def _check_limit(name: str, limit: object, most: int) -> None:
    if not is_whole(limit) or not 1 <= limit <= most:
        raise InvalidArgument(f"{name} must be a whole number from 1 to {most}; got {limit!r}")


def _check_text(name: str, text: object) -> None:
    """:raises ValueError: if it is longer than AMQP takes."""
    if not isinstance(text, str):
        raise InvalidArgument(f"{name} must be text, or None for none; got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{name} must be text that UTF-8 can carry; got {text!r}") from error
    try:
        short_string(text)
    except ValueError as error:
        raise ValueError(f"{name} is too long: {error}") from error


def _check_seconds(name: str, seconds: object) -> None:
    if not is_duration(seconds):
        raise InvalidArgument(f"{name} must be a number of seconds, 0 or more; got {seconds!r}")


def _check_lazy(lazy: object, wait_for_broker: float) -> None:
    if not isinstance(lazy, bool):
        raise InvalidArgument(f"lazy must be True or False; got {lazy!r}")
    if lazy and wait_for_broker:
        raise InvalidArgument(
            "wait_for_broker says how long connect() waits, and with lazy=True it does not wait:"
            " calls do, each until its own deadline"
        )


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        # Without the value: what was given for credentials may be a password.
        kind = type(value).__name__
        raise InvalidArgument(f"{name} must be a function, or None for none; got {kind}")
