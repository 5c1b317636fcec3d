"""`RabbitMQ`: a real broker for tests, demos and benchmarks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Self
from urllib.parse import quote, urlsplit

from leveret.testing.rabbitmq.container import Container, docker_answers, pull_image
from leveret.testing.rabbitmq.erlang_node import ErlangNode
from leveret.testing.rabbitmq.installed import (
    THIS_MACHINE,
    Installation,
    Machine,
    find_installation,
)
from leveret.testing.rabbitmq.place import Foreign, Place, RabbitMQUnavailable, answers_amqp, say
from leveret.testing.rabbitmq.tls import TLSFiles
from leveret.testing.startable import Startable

__all__ = ["RabbitMQ", "erlang_binary"]

_NONE_FOUND = """\
no RabbitMQ found. One of these helps:
  - install it:               sudo apt-get install rabbitmq-server
  - start Docker, and let this user reach it (`docker info` must work)
  - name one that runs:       export LEVERET_URL=amqp://guest:guest@localhost/"""


class RabbitMQ(Startable):
    """A RabbitMQ to test against, found or started.

    ::

        with leveret.testing.RabbitMQ() as broker:      # or `async with`
            async with leveret.connect(broker.url) as rabbit: ...

    It is, in this order: the one that LEVERET_URL names; a private node of the `rabbitmq-server`
    that is installed on this machine; a Docker container. What was started here ends with the
    block, or with this process, however the process ends.

    All methods block, some for seconds: in async code, call them by `asyncio.to_thread`.

    :param private: pass over LEVERET_URL, for tests that stop, kill or block their broker.
    :param tls: pass over LEVERET_URL, listen with TLS at `tls_url` as well, and accept client
        certificates for logins.
    :raises RabbitMQUnavailable: there is none (on entering), or it cannot do what a method asks.
    """

    def __init__(self, *, private: bool = False, tls: TLSFiles | None = None) -> None:
        self._private = private
        self._tls = tls
        self._place: Place | None = None
        self._attached = False

    @classmethod
    def at(cls, place: Place) -> Self:
        """The broker at a place, which `start` starts."""
        broker = cls()
        broker._place = place
        return broker

    @classmethod
    def attach(cls, address: str) -> Self:
        """The broker of another process on this machine, which passed on its `address`.

        It has no `stop`, `kill` and `restart`, and goes on after `close`.
        """
        broker = cls()
        broker._attached = True
        if address.startswith("{"):
            broker._place = ErlangNode.attach(address, cls._machine())
        elif address.startswith("docker:"):
            broker._place = Container.attach(address)
        else:
            broker._place = Foreign(address)
        return broker

    def start(self) -> Self:
        """Find or start it. Start it again if it was stopped or killed; do nothing if it runs."""
        if self._place is None:
            self._place = self._choose()()
        elif not self._attached:
            self._place.start()
        return self

    def close(self) -> None:
        """Kill it and remove its data if it was started here; a foreign broker goes on."""
        place, self._place = self._place, None
        if place is not None:
            place.close()

    @property
    def url(self) -> str:
        """The AMQP URL of the default vhost."""
        return self._here.url

    @property
    def tls_url(self) -> str:
        """The URL with TLS, with the host localhost. Only with `tls`."""
        return self._here.tls_url

    @property
    def port(self) -> int:
        """The AMQP port."""
        parts = urlsplit(self.url)
        return parts.port or (5671 if parts.scheme == "amqps" else 5672)

    @property
    def owned(self) -> bool:
        """Whether Leveret started it, in this process or in the one that it is attached to."""
        return not isinstance(self._here, Foreign)

    @property
    def address(self) -> str:
        """The address for `attach` in another process."""
        return self._here.address

    @property
    def is_up(self) -> bool:
        """Whether it answers an AMQP client now."""
        return answers_amqp(urlsplit(self.url).hostname or "localhost", self.port)

    @property
    def version(self) -> tuple[int, ...]:
        """RabbitMQ's own version: (4, 0, 5), for instance."""
        number = self.evaluate("rabbit_misc:version()").strip('"')
        return tuple(int(part) for part in re.findall(r"\d+", number)[:3])

    def stop(self) -> None:
        """Shut it down: it closes its connections (320, CONNECTION_FORCED)."""
        self._here.stop()

    def kill(self) -> None:
        """Send SIGKILL: clients see their sockets break."""
        self._here.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it again, with the same port and its durable data."""
        self._here.stop()
        self._here.start()

    def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl *args`, and return its output; takes 0.5 to 1 s."""
        return self._here.ctl(*args)

    def evaluate(self, expression: str) -> str:
        """Evaluate an Erlang expression in the broker (20 ms); returns it as Erlang prints it."""
        return self._here.evaluate(expression)

    def add_vhost(self, name: str) -> str:
        """Make a vhost that `guest` may use, and return its URL."""
        vhost = erlang_binary(name)
        allowed = ", ".join(['<<".*">>'] * 3)
        self.evaluate(
            f'rabbit_vhost:add({vhost}, <<"leveret">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, {vhost}, {allowed}, '
            '<<"leveret">>)'
        )
        return self.url + quote(name, safe="")

    def delete_vhost(self, name: str) -> None:
        """Remove a vhost and its queues; connections to it are closed."""
        self.evaluate(f'rabbit_vhost:delete({erlang_binary(name)}, <<"leveret">>)')

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Have the broker close all connections, or those of one vhost; returns how many.

        Clients get 320, `CONNECTION_FORCED - <reason>`.
        """
        wanted = "" if vhost is None else f", [{{vhost, {erlang_binary(vhost)}}}] =:= Infos(P)"
        return int(
            self.evaluate(
                "Infos = fun(P) -> try rabbit_networking:connection_info(P, [vhost]) "
                "catch _:_ -> gone end end, "
                f"length([rabbit_networking:close_connection(P, {erlang_binary(reason)}) "
                f"|| P <- rabbit_networking:connections(){wanted}])"
            )
        )

    def block_publishers(self) -> None:
        """Raise the memory alarm: connections that publish are blocked (`connection.blocked`)."""
        self._set_memory_limit("0.0")

    def unblock_publishers(self) -> None:
        """Clear the memory alarm (`connection.unblocked`)."""
        self._set_memory_limit("0.6")

    def _set_memory_limit(self, share: str) -> None:
        # Asking for the alarms makes it return only when all connections have heard of them.
        self.evaluate(
            f"vm_memory_monitor:set_vm_memory_high_watermark({share}), rabbit_alarm:get_alarms()"
        )

    def log_tail(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return "\n".join(self._here.log().splitlines()[-lines:])

    # -- where one is found: a subclass may know more places -----------------------------------

    def _choose(self) -> Callable[[], Place]:
        """What starts the first kind of broker that can be had.

        :raises RabbitMQUnavailable: if none can.
        """
        url = os.environ.get("LEVERET_URL")
        if url and not self._private and self._tls is None:
            say("using the broker in LEVERET_URL")
            return partial(Foreign, url)
        found = self._find_installation()
        if found is not None:
            return partial(ErlangNode.start_new, found, self._tls)
        if docker_answers():
            return partial(Container.start_new, pull_image(), self._tls)
        raise RabbitMQUnavailable(_NONE_FOUND)

    def _find_installation(self) -> Installation | None:
        return find_installation()

    @classmethod
    def _machine(cls) -> Machine:
        """Where the nodes run that other processes started."""
        return THIS_MACHINE

    @property
    def _here(self) -> Place:
        if self._place is None:
            raise RabbitMQUnavailable("this RabbitMQ is not started: enter it, or call start()")
        return self._place


def erlang_binary(text: str) -> str:
    """A text as an Erlang binary, whatever characters it has."""
    return f"<<{','.join(map(str, text.encode()))}>>"
