"""`RabbitMQ`: a real broker for tests, demos and benchmarks, wherever one can be had."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Self
from urllib.parse import quote, urlsplit

from leveret.testing.container import Container, docker_answers, pull_image
from leveret.testing.entering import Startable
from leveret.testing.erlang_node import ErlangNode
from leveret.testing.installed import apt_command, find_installation, install_with_apt
from leveret.testing.place import Foreign, Place, RabbitMQUnavailable, answers_amqp, say
from leveret.testing.tls import TLSFiles

__all__ = ["RabbitMQ", "choose", "erlang_binary"]

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

    It is, in this order: the one that LEVERET_URL names; a private node of the `rabbitmq-server` in
    the folder that LEVERET_RABBITMQ_ROOT names, or else of the one on this machine; with
    `install=True`, and as root or with passwordless sudo, one that apt installs; a Docker
    container. What was started here ends with the block, or with this process, whatever ends that.
    `private=True` passes over LEVERET_URL, for tests that stop, kill or block theirs; so does
    `tls`, with which it listens at `tls_url` too, and takes certificates for logins.

    All methods block, some for seconds: in async code, call them by `asyncio.to_thread`.

    :raises RabbitMQUnavailable: there is none (on entering), or it cannot do what a method asks.
    """

    def __init__(
        self, *, private: bool = False, install: bool = False, tls: TLSFiles | None = None
    ) -> None:
        self._private = private
        self._install = install
        self._tls = tls
        self._place: Place | None = None
        self._attached = False

    @classmethod
    def at(cls, place: Place) -> Self:
        """The broker of a place of one's own, which `start` starts."""
        broker = cls()
        broker._place = place
        return broker

    @classmethod
    def attach(cls, address: str) -> Self:
        """The broker whose `address` another process on this machine passed on.

        It has everything but `stop`, `kill` and `restart`, and goes on after `close`.
        """
        broker = cls()
        broker._attached = True
        if address.startswith("{"):
            broker._place = ErlangNode.attach(address)
        elif address.startswith("docker:"):
            broker._place = Container.attach(address)
        else:
            broker._place = Foreign(address)
        return broker

    def start(self) -> Self:
        """Find or start it; start it again where it was stopped or killed; else do nothing."""
        if self._place is None:
            self._place = choose(private=self._private, install=self._install, tls=self._tls)()
        elif not self._attached:
            self._place.start()
        return self

    def close(self) -> None:
        """Kill what was started here and remove its data; a foreign broker goes on."""
        place, self._place = self._place, None
        if place is not None:
            place.close()

    @property
    def url(self) -> str:
        """The AMQP URL of the default vhost."""
        return self._here.url

    @property
    def tls_url(self) -> str:
        """The same with TLS; its host is localhost. Only with `tls`."""
        return self._here.tls_url

    @property
    def port(self) -> int:
        """The AMQP port."""
        parts = urlsplit(self.url)
        return parts.port or (5671 if parts.scheme == "amqps" else 5672)

    @property
    def owned(self) -> bool:
        """Whether Leveret started it, here or in the process it is attached to."""
        return not isinstance(self._here, Foreign)

    @property
    def address(self) -> str:
        """What `attach` takes in another process."""
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
        """Shut it down in good order: clients are told (320, CONNECTION_FORCED)."""
        self._here.stop()

    def kill(self) -> None:
        """SIGKILL: clients see their sockets break."""
        self._here.kill()

    def restart(self) -> None:
        """Start it again, stopped first where it runs: same port, durable data kept."""
        self._here.stop()
        self._here.start()

    def ctl(self, *args: str) -> str:
        """What `rabbitmqctl *args` prints; half a second to a second each."""
        return self._here.ctl(*args)

    def evaluate(self, expression: str) -> str:
        """The value of an Erlang expression in the broker, as Erlang prints it; about 20 ms."""
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
        """Have the broker close the connections, or those of one vhost; returns how many.

        Clients are told: 320, `CONNECTION_FORCED - <reason>`.
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
        # Asking for the alarms as well, it returns when all connections have been told of them.
        self.evaluate(
            f"vm_memory_monitor:set_vm_memory_high_watermark({share}), rabbit_alarm:get_alarms()"
        )

    def log_tail(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return "\n".join(self._here.log().splitlines()[-lines:])

    @property
    def _here(self) -> Place:
        if self._place is None:
            raise RabbitMQUnavailable("this RabbitMQ is not started: enter it, or call start()")
        return self._place


def choose(*, private: bool, install: bool, tls: TLSFiles | None = None) -> Callable[[], Place]:
    """What starts the first kind of broker that can be had; see `RabbitMQ` for the order."""
    url = os.environ.get("LEVERET_URL")
    if url and not private and tls is None:
        say("using the broker in LEVERET_URL")
        return partial(Foreign, url)
    found = find_installation()
    if found is None and install and (apt := apt_command()) is not None:
        install_with_apt(apt)
        found = find_installation()
    if found is not None:
        return partial(ErlangNode.start_new, found, tls)
    if docker_answers():
        return partial(Container.start_new, pull_image(), tls)
    raise RabbitMQUnavailable(_NONE_FOUND)


def erlang_binary(text: str) -> str:
    """A text as an Erlang binary, whatever characters it has."""
    return f"<<{','.join(map(str, text.encode()))}>>"
