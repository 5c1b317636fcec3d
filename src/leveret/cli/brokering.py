"""`leveret broker`: the embedded broker as a process of its own."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket

import msgspec

from leveret.broker import EmbeddedBroker
from leveret.broker.embedded import PURPOSE
from leveret.cli.exits import CANNOT_LISTEN, DONE
from leveret.cli.printing import print_error_text
from leveret.rabbit import run
from leveret.server.signals import stop_signals

__all__ = ["BrokerOptions", "run_broker"]

log = logging.getLogger("leveret.cli")


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker listens, and for whom."""

    host: str
    port: int
    """0 for any free one."""
    users: dict[str, str]
    """Passwords by name."""
    vhosts: tuple[str, ...]


def run_broker(options: BrokerOptions) -> int:
    """Run a broker until SIGINT or SIGTERM, and return the exit code."""
    try:
        run(_serve(options))
    except OSError as error:
        print_error_text(_complaint(options, error))
        return CANNOT_LISTEN
    except KeyboardInterrupt:  # before the signals are ours, and on Windows always
        pass
    return DONE


async def _serve(options: BrokerOptions) -> None:
    with stop_signals(_no_hurry) as stopped:
        broker = EmbeddedBroker(options.host, options.port, options.users, options.vhosts)
        async with broker:
            if options.users.get("guest") == "guest" and not _is_local(options.host):
                log.warning("others on the network can log in as guest: give it --users")
            if not logging.getLogger("leveret.broker").isEnabledFor(logging.INFO):
                # Whatever the log leaves out: nobody is to find this out by losing messages.
                print_error_text(f"embedded AMQP broker on port {broker.port}: {PURPOSE}")
            print(broker.url, flush=True)
            await stopped


def _no_hurry() -> None:
    """A second signal changes nothing: a broker closes within a second or two."""


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _complaint(options: BrokerOptions, error: OSError) -> str:
    place = f"{options.host}:{options.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"cannot listen on {place}: the port is in use, maybe by another broker."
            " Choose one with --port, or any free one with --port 0"
        )
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"cannot listen on {place}: {error.strerror or error}"
    # asyncio writes a longer text around the system's own.
    return f"cannot listen on {place}: {os.strerror(error.errno)}"
