"""The map at the seam to the network: every error of sockets, TLS and asyncio is covered."""

from __future__ import annotations

import asyncio
import builtins
import socket
import ssl
from collections.abc import Iterator
from types import ModuleType

import pytest

from leveret.errors import ConnectionLost
from leveret.transport.address import Address
from leveret.transport.network_errors import NETWORK_ERRORS, as_connection_lost, reason
from leveret.transport.opening import open_connection

NOT_OF_THE_NETWORK = {
    asyncio.CancelledError,  # of the caller
    asyncio.InvalidStateError,  # of futures
    asyncio.QueueEmpty,
    asyncio.QueueFull,
    getattr(asyncio, "QueueShutDown", asyncio.QueueEmpty),  # from Python 3.13 on
    asyncio.BrokenBarrierError,
    asyncio.LimitOverrunError,  # of readline()
    asyncio.SendfileNotAvailableError,
}
"""What asyncio raises elsewhere: here it would be a bug."""


def exceptions_of(module: ModuleType) -> Iterator[type[BaseException]]:
    for name, value in vars(module).items():
        is_public = not name.startswith("_")
        if is_public and isinstance(value, type) and issubclass(value, BaseException):
            yield value


def of_the_network() -> set[type[BaseException]]:
    found = {*exceptions_of(socket), *exceptions_of(ssl), *exceptions_of(asyncio)}
    found |= {kind for kind in exceptions_of(builtins) if issubclass(kind, OSError)}
    return found - NOT_OF_THE_NETWORK


@pytest.mark.parametrize("kind", sorted(of_the_network(), key=str))
def test_every_error_of_sockets_tls_and_asyncio_is_covered(kind: type[BaseException]) -> None:
    assert issubclass(kind, NETWORK_ERRORS)


ERRORS = [
    ConnectionRefusedError(111, "Connection refused"),
    ConnectionResetError(104, "Connection reset by peer"),
    socket.gaierror(-2, "Name or service not known"),
    TimeoutError(),
    ssl.SSLError(1, "wrong version number"),
    ssl.SSLCertVerificationError(1, "certificate verify failed"),
    asyncio.IncompleteReadError(b"", 8),
    UnicodeError("label empty or too long"),
    OSError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_each_is_a_lost_connection_to_who_connects(error: Exception) -> None:
    async def dial(_: asyncio.Protocol) -> None:
        raise error

    address = Address(hosts=(("host", 1),), dial=dial)
    with pytest.raises(ConnectionLost, match="host:1: ") as raised:
        await open_connection(address, name="a test", max_message_size=1)
    assert raised.value.__cause__ is error
    assert raised.value.executed == "no"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_each_has_a_reason_in_words(error: Exception) -> None:
    assert reason(error)
    lost = as_connection_lost(error)
    assert (str(lost), lost.executed, lost.__cause__) == (reason(error), "no", error)


def test_time_that_is_up_says_how_long_it_was() -> None:
    assert reason(TimeoutError(), seconds=2.5) == "no answer in 2.5 s"


def test_a_socket_that_closed_in_order_is_the_brokers_doing() -> None:
    assert reason(None) == "the broker closed the socket"


async def test_a_host_name_that_cannot_be_looked_up_is_a_lost_connection() -> None:
    address = Address(hosts=(("a\u05d0", 5672),))  # mixes directions: IDNA refuses it
    with pytest.raises(ConnectionLost, match="host name cannot be looked up"):
        await open_connection(address, name="a test", max_message_size=1)


async def test_a_bug_is_not_taken_for_the_network() -> None:
    async def dial(_: asyncio.Protocol) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await open_connection(
            Address(hosts=(("host", 1),), dial=dial), name="a test", max_message_size=1
        )
