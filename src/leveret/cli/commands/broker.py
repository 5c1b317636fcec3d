"""`leveret broker`: the embedded broker as a process of its own."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from typing import Annotated, Final

import msgspec
import typer

from leveret.cli.arguments import BadArgument, names_of, users_of
from leveret.cli.exits import CANNOT_LISTEN, DONE
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.printing import print_error_text, print_result
from leveret.rabbit import run
from leveret.server.signals import stop_signals

__all__ = ["CODES", "broker"]

log = logging.getLogger("leveret.cli")

CODES: Final = (0, 2, 14)
"""The exit codes that it can have."""


def broker(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "localhost",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="0 for any free one; the URL tells which.")
    ] = 5672,
    users: Annotated[
        str, typer.Option(metavar="NAME:PASSWORD,...", help="Who may log in, with all rights.")
    ] = "guest:guest",
    vhosts: Annotated[str, typer.Option(metavar="NAME,...")] = "/",
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = LogLevel.INFO,
) -> None:
    """Run an AMQP broker for development and tests, in memory, until SIGINT or SIGTERM.

    Prints its URL, of the first vhost and user. Production is RabbitMQ.
    """
    try:
        options = _Options(host=host, port=port, users=users_of(users), vhosts=names_of(vhosts))
    except BadArgument as error:
        raise typer.BadParameter(str(error)) from None
    configure_logging(log_level)
    raise typer.Exit(_run(options))


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker listens, and who may log in."""

    host: str
    port: int
    """0 for any free one."""
    users: dict[str, str]
    """Passwords by name."""
    vhosts: tuple[str, ...]


def _run(options: _Options) -> int:
    """Run a broker until SIGINT or SIGTERM, and return the exit code."""
    try:
        run(_serve(options))
    except OSError as error:
        print_error_text(_complaint(options, error))
        return CANNOT_LISTEN
    except KeyboardInterrupt:  # before the signals are handled here, and on Windows always
        pass
    return DONE


async def _serve(options: _Options) -> None:
    from leveret.broker import EmbeddedBroker  # noqa: PLC0415 - of no use to other commands
    from leveret.broker.running import PURPOSE  # noqa: PLC0415 - as above

    with stop_signals(_ignore) as stopped:
        broker = EmbeddedBroker(options.host, options.port, options.users, options.vhosts)
        async with broker:
            if options.users.get("guest") == "guest" and not _is_local(options.host):
                log.warning("others on the network can log in as guest: give it --users")
            if not logging.getLogger("leveret.broker").isEnabledFor(logging.INFO):
                # At any log level: users must not learn it by losing messages.
                print_error_text(f"embedded AMQP broker on port {broker.port}: {PURPOSE}")
            print_result(broker.url, as_json=False)
            await stopped


def _ignore() -> None:
    """A second signal changes nothing: a broker closes within a second or two."""


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _complaint(options: _Options, error: OSError) -> str:
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
