"""Where a test's RabbitMQ runs: the one interface behind `leveret.testing.RabbitMQ`.

Three places implement it: `Foreign` here (somebody else's broker, by its URL), `ErlangNode` (a
private node on this machine) and `Container` (Docker).
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

from leveret.errors import LeveretError

__all__ = [
    "START_TIMEOUT",
    "Foreign",
    "Place",
    "RabbitMQUnavailable",
    "answers_amqp",
    "listens",
    "say",
    "wait_until_up",
]

START_TIMEOUT = 90.0
"""Seconds a broker may take to start; 3 is usual, slow CI machines need many more."""

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


class RabbitMQUnavailable(LeveretError):
    """No RabbitMQ could be found, started or steered; the message says what to do."""


class Place(Protocol):
    """A broker that can be reached at `url`, and perhaps steered.

    What a place cannot do raises `RabbitMQUnavailable`.
    """

    @property
    def url(self) -> str:
        """The AMQP URL of its default vhost, ending in a slash."""

    @property
    def tls_url(self) -> str:
        """The same with TLS, where it was started with `TLSFiles`."""

    @property
    def address(self) -> str:
        """What another process on this machine needs to steer it too (see `RabbitMQ.attach`)."""

    def start(self) -> None:
        """Start it, and return once it speaks AMQP; does nothing where it runs."""

    def stop(self) -> None:
        """Stop it in good order; its port and data stay its own."""

    def kill(self) -> None:
        """Stop it at once, as a power cut would."""

    def close(self) -> None:
        """Kill it, and remove all that it left."""

    def ctl(self, *args: str) -> str:
        """What `rabbitmqctl *args` prints."""

    def evaluate(self, expression: str) -> str:
        """The value of an Erlang expression in the broker, as Erlang prints it."""

    def log(self) -> str:
        """The whole log of the broker."""


class Foreign:
    """A broker that somebody else started: it has a URL, and its state is not ours to touch."""

    def __init__(self, url: str) -> None:
        self.url = url if urlsplit(url).path else f"{url}/"

    @property
    def address(self) -> str:
        return self.url

    @property
    def tls_url(self) -> str:
        self._refuse("give TLS to")

    def start(self) -> None:
        """Nothing: it runs, or the first connection says why not."""

    def close(self) -> None:
        """Nothing: it goes on."""

    def stop(self) -> None:
        self._refuse("stop")

    def kill(self) -> None:
        self._refuse("kill")

    def ctl(self, *args: str) -> str:
        self._refuse(f"run `rabbitmqctl {' '.join(args)}` on")

    def evaluate(self, expression: str) -> str:
        self._refuse(f"evaluate {expression!r} in")

    def log(self) -> str:
        self._refuse("read the log of")

    def _refuse(self, what: str) -> NoReturn:
        raise RabbitMQUnavailable(
            f"Leveret did not start the broker in LEVERET_URL, so it will not {what} it; "
            "unset LEVERET_URL, or ask for RabbitMQ(private=True)"
        )


def say(message: str) -> None:
    """One line on stderr about what is done to get a broker."""
    print(f"leveret.testing: {message}", file=sys.stderr, flush=True)


def answers_amqp(host: str, port: int, timeout: float = 5.0) -> bool:
    """Whether a broker on this port greets an AMQP client (AMQP 0-9-1, section 2.2.4)."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == _METHOD_FRAME
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether anybody takes connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_up(port: int, died: Callable[[], str | None], tls_port: int = 0) -> None:
    """Return once a broker on 127.0.0.1 speaks AMQP; `died` tells why it never will.

    With `tls_port`, also once it listens there: it opens its ports one after the other.

    :raises RabbitMQUnavailable: it died, or is not up after `START_TIMEOUT` seconds.
    """
    give_up = time.monotonic() + START_TIMEOUT
    while not answers_amqp("127.0.0.1", port) or (tls_port and not listens(tls_port)):
        if (reason := died()) is not None:
            raise RabbitMQUnavailable(f"RabbitMQ stopped while starting:\n{reason}")
        if time.monotonic() > give_up:
            raise RabbitMQUnavailable(
                f"RabbitMQ did not answer on port {port} within {START_TIMEOUT:.0f} s"
            )
        time.sleep(0.02)
