"""`FaultProxy`: a cable between clients and a broker, on which a test causes faults."""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from types import TracebackType
from typing import Literal, Self

from leveret.async_only import AsyncOnly
from leveret.testing.faults.actions import (
    BOTH,
    Conditions,
    Door,
    Ending,
    Faulty,
    LineFault,
    Refuse,
)
from leveret.testing.faults.address import BrokerAddress
from leveret.testing.faults.connection import FaultConnection
from leveret.testing.faults.line import Passed
from leveret.testing.faults.listener import Listener
from leveret.testing.faults.moments import Direction, Moment
from leveret.testing.faults.rules import Action, Rule

__all__ = ["FaultProxy"]

log = logging.getLogger("leveret.testing.faults.proxy")


class FaultProxy(Faulty, AsyncOnly):
    """A TCP proxy in front of a broker, which causes real faults on the connections through it.

    ::

        from leveret.testing import Cut, FaultProxy, after_frame

        async with FaultProxy(broker.url) as proxy, leveret.connect(proxy.url) as rabbit:
            proxy.stall("to_client")                  # at once: the broker seems to hang
            proxy.resume()
            rule = proxy.when(after_frame(1, "to_broker", kind="basic.publish"), Cut())
            ...                                       # a call: its connection breaks in the middle
            await rule.fired.wait()

    Methods such as `cut` act at once; `when` acts at a moment, by frame or by byte. `stall`,
    `delay` and `throttle` last, and also apply to later connections. Use a proxy only in the event
    loop in which it was started.

    It passes on any protocol. If that is AMQP without TLS, it counts frames, and rules can name
    them. It buffers about 0.5 MB of each direction of a connection (8.5 MB with a delay). Beyond
    that, the sender feels that its receiver is slow.

    :param broker: an AMQP URL, of which only the first host counts, or (host, port).
    :param host: where to listen.
    :param port: 0 for any free one.
    :raises InvalidURL: if the URL cannot be read, or is not that of a broker on a network.
    :raises OSError: (on entering) if it cannot listen there.
    """

    def __init__(
        self, broker: str | tuple[str, int], *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._address = BrokerAddress.of(broker)
        self.target = self._address.target
        """(host, port) of the broker. A new value applies to later connections."""
        self.conditions: dict[Direction, Conditions] = dict.fromkeys(BOTH, Conditions())
        """The conditions of new connections."""
        self.to_broker = Passed()
        """How much has passed to the broker on all connections: `.bytes`, `.frames`."""
        self.to_client = Passed()
        """How much has passed to the clients on all connections: `.bytes`, `.frames`."""
        self.accepted = 0
        """How many connections were accepted so far, including those that were closed at once."""
        self._listener = Listener(host, port, self._on_client)
        self._door: Door = "open"
        self._rules: list[Rule[FaultConnection]] = []
        self._open: dict[FaultConnection, asyncio.Task[None]] = {}
        self._failures: list[BaseException] = []
        self._changed = asyncio.Event()

    # -- its life ------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start to listen. Does nothing if it listens.

        :raises OSError: if it cannot listen.
        """
        self._listener.reserve()
        self.set_door(self._door)
        return self

    async def close(self) -> None:
        """Stop listening, and reset all connections. Twice is fine.

        :raises Exception: the first exception that a function of a rule had raised.
        """
        self._listener.release()
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._announce_change()
        if self._failures:
            failure = self._failures[0]
            self._failures.clear()
            raise failure

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except Exception:
            if error is None:
                raise
            log.exception("a rule of a FaultProxy failed")

    # -- where it is, and what is there --------------------------------------------------------

    @property
    def port(self) -> int:
        """The port where it listens, or refuses connections.

        :raises RuntimeError: if it is not started.
        """
        if self._listener.port is None:
            raise RuntimeError("this proxy is not started: enter it, or await start()")
        return self._listener.port

    @property
    def url(self) -> str:
        """The broker's URL through this proxy, with the same user, vhost and options.

        With amqps, the client checks the certificate for the broker's own name (the query option
        `server_name_indication`), since the certificate is not for the proxy.
        """
        return self._address.by_way_of(self._listener.host, self.port)

    @property
    def connections(self) -> tuple[FaultConnection, ...]:
        """The open connections, oldest first."""
        return tuple(self._open)

    async def wait_for_connections(self, n: int) -> None:
        """Wait until `n` connections were accepted in all; see `accepted`.

        :raises RuntimeError: if the proxy is not started, or is closed meanwhile.
        """
        while self.accepted < n:
            _ = self.port
            await self._changed.wait()

    # -- faults --------------------------------------------------------------------------------

    def when(
        self,
        moment: Moment,
        *actions: Action[FaultConnection],
        each_connection: bool = False,
    ) -> Rule[FaultConnection]:
        """Cause faults at a moment, on the connection that reaches it.

        ::

            proxy.when(before_frame(2, "to_client", kind="basic.deliver"), Corrupt())
            proxy.when(after_bytes(1_000, "to_broker"), Refuse(), Cut())
            proxy.when(after_frame(1, "to_broker"), lambda connection: rabbitmq.kill())

        When the rule strikes, the bytes before the moment have been sent; those after it wait.

        :param moment: made by `after_frame`, `before_frame`, `inside_frame` or `after_bytes`. Each
            connection counts for itself, from now on.
        :param actions: faults, or plain functions of the connection, in this order. If a function
            raises, the connection is cut, and closing the proxy raises the same exception.
        :param each_connection: whether it strikes once on every connection, or only on the first
            that reaches the moment.
        """
        rule = Rule(moment, actions, each_connection, self._remove)
        self._rules.append(rule)
        for connection in self._open:
            connection.arm(rule)
        return rule

    def refuse(self, how: Literal["refuse", "hang_up", "silence"] = "refuse") -> None:
        """Refuse new connections until `accept`; open connections stay. See `Refuse`."""
        self.apply(Refuse(how))

    def accept(self) -> None:
        """Accept new connections again, on the same port.

        :raises OSError: if it cannot listen there again.
        """
        self.set_door("open")

    def heal(self) -> None:
        """End all lasting faults: stalls, delays, throttles, refusals. Rules stay."""
        self.resume()
        self.delay(0)
        self.throttle(None)
        self.accept()

    def end(self, ending: Ending) -> None:
        for connection in self._open:
            connection.end(ending)

    def change(self, direction: Direction, fault: LineFault) -> None:
        self.conditions[direction] = fault.changed(self.conditions[direction])
        for connection in self._open:
            connection.change(direction, fault)

    def spoil(self, direction: Direction, offset: int, value: int | None) -> None:
        for connection in self._open:
            connection.spoil(direction, offset, value)

    def set_door(self, door: Door) -> None:
        self._door = door
        if door == "refuse":
            self._listener.stop()
        else:
            self._listener.listen()

    def _remove(self, rule: Rule[FaultConnection]) -> None:
        if rule in self._rules:
            self._rules.remove(rule)
        for connection in self._open:
            connection.disarm(rule)

    # -- connections ---------------------------------------------------------------------------

    def _on_client(self, client: socket.socket) -> None:
        self.accepted += 1
        if self._door == "hang_up":
            client.close()
        else:
            self._begin(client)
        self._announce_change()

    def _begin(self, client: socket.socket) -> None:
        connection = FaultConnection(self, client, self.accepted)
        for rule in self._rules:
            connection.arm(rule)
        task = asyncio.create_task(connection.run(silent=self._door == "silence"))
        self._open[connection] = task
        task.add_done_callback(partial(self._on_done, connection))

    def _on_done(self, connection: FaultConnection, task: asyncio.Task[None]) -> None:
        connection.release()  # the task may have been cancelled before it started
        del self._open[connection]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
