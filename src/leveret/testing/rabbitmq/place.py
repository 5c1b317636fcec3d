"""Where a RabbitMQ for tests runs: the one interface behind `leveret.testing.RabbitMQ`.

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
"""Seconds that a broker may take to start: 3 are usual, a slow CI machine needs many more."""

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


class RabbitMQUnavailable(LeveretError):
    """No RabbitMQ could be found, started or steered; the message says what to do."""


class Place(Protocol):
    """A broker at a URL, which can perhaps be started, stopped and asked.

    A method that this place cannot carry out raises `RabbitMQUnavailable`.
    """

    @property
    def url(self) -> str:
        """The AMQP URL of its default vhost, ending in a slash."""
        ...

    @property
    def tls_url(self) -> str:
        """The URL with TLS, if the broker was started with `TLSFiles`."""
        ...

    @property
    def address(self) -> str:
        """What `RabbitMQ.attach` needs in another process on this machine."""
        ...

    def start(self) -> None:
        """Start it, and return once it speaks AMQP. Does nothing if it runs."""

    def stop(self) -> None:
        """Shut it down. It keeps its port and its data."""

    def kill(self) -> None:
        """Kill it, as a power cut would."""

    def close(self) -> None:
        """Kill it, and remove its data."""

    def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl *args`, and return its output."""
        ...

    def evaluate(self, expression: str) -> str:
        """Evaluate an Erlang expression in the broker; returns the value as Erlang prints it."""
        ...

    def log(self) -> str:
        """The whole log of the broker."""
        ...


class Foreign:
    """A broker that somebody else started. It has a URL; its state stays untouched."""

    def __init__(self, url: str) -> None:
        self.url = url if urlsplit(url).path else f"{url}/"

    @property
    def address(self) -> str:
        return self.url

    @property
    def tls_url(self) -> str:
        self._refuse("give TLS to")

    def start(self) -> None:
        """Do nothing: it runs, or the first connection reports why not."""

    def close(self) -> None:
        """Do nothing: it goes on."""

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
    """Print one line on stderr about how a broker is obtained."""
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
    """Return once a broker on 127.0.0.1 speaks AMQP.

    :param died: None while the broker runs, else why it died.
    :param tls_port: if not 0, wait until it listens there as well: it opens one port after another.

    :raises RabbitMQUnavailable: if it died, or is not up after `START_TIMEOUT` seconds.
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
