"""`RabbitMQCluster`: RabbitMQ nodes on one machine that are one broker, any of which may die.

The nodes find each other by the cookie and the epmd that they share. Each has a caretaker of its
own, and so has epmd: one node's death takes nothing else with it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import quote

from leveret.testing.rabbitmq.broker import erlang_binary
from leveret.testing.rabbitmq.erlang_node import START_ATTEMPTS, ErlangNode
from leveret.testing.rabbitmq.installed import Installation
from leveret.testing.rabbitmq.node_settings import (
    Membership,
    epmd_command,
    erlang_environment,
    new_cookie,
    new_folder,
    node_name,
)
from leveret.testing.rabbitmq.place import START_TIMEOUT, RabbitMQUnavailable, listens, say
from leveret.testing.rabbitmq.ports import free_ports
from leveret.testing.rabbitmq.private_server import PrivateServer
from leveret.testing.startable import Startable
from tests.rabbitmq.broker import RabbitMQ, find_or_install

__all__ = ["PartitionHandling", "RabbitMQCluster"]

PartitionHandling = Literal["ignore", "pause_minority", "autoheal"]

_NONE_FOUND: Final = """\
no RabbitMQ found that a cluster could be made of. One of these helps:
  - install it:               sudo apt-get install rabbitmq-server
  - make one beside this one: scripts/rabbitmq4-chroot, and set LEVERET_RABBITMQ_ROOT"""

_RUNNING: Final = "[N || N <- [node() | nodes()], rpc:call(N, rabbit, is_running, []) =:= true]"

# A consistent query is answered only by a leader that a majority follows. That each member's
# process lives is asked besides: the next node to die may be one of that majority.
_WAITING: Final = (
    f"Running = {_RUNNING}, "
    "length([Q || Q <- rabbit_amqqueue:list(), "
    "amqqueue:get_type(Q) =:= rabbit_quorum_queue, "
    "begin {Name, _} = amqqueue:get_pid(Q), "
    "Members = [N || N <- maps:get(nodes, amqqueue:get_type_state(Q)), lists:member(N, Running)], "
    "Alive = [N || N <- Members, is_pid(rpc:call(N, erlang, whereis, [Name]))], "
    "Alive =:= [] orelse Alive =/= Members orelse element(1, "
    "(catch ra:consistent_query({Name, hd(Alive)}, fun erlang:is_tuple/1, 2000))) =/= ok end])"
)


class RabbitMQCluster(Startable):
    """A cluster of RabbitMQ nodes, for tests in which some of them die.

    ::

        with RabbitMQCluster() as cluster:      # or `async with`
            async with leveret.connect(cluster.url) as rabbit:
                cluster.nodes[0].kill()
                ...
                cluster.await_ready()

    It is made of what `RabbitMQ` would start on this machine: LEVERET_RABBITMQ_ROOT's or else the
    installed one. It ends with the block, or with this process, whatever ends that.

    All methods block, some for seconds: in async code, call them by `asyncio.to_thread`.

    :param nodes: how many; three is the least that goes on without one of them.
    :param partition_handling: what nodes do that lose sight of the others. By default what RabbitMQ
        advises for three nodes, and so what its users run: a minority stops serving, rather than
        going on as a broker of its own (https://www.rabbitmq.com/docs/partitions). With two of
        three killed, the third thus serves nobody until one of them is back.
    :raises RabbitMQUnavailable: there is none (on entering), or it cannot do what a method asks.
    """

    def __init__(
        self, nodes: int = 3, *, partition_handling: PartitionHandling = "pause_minority"
    ) -> None:
        if nodes < 1:
            raise ValueError(f"a cluster has at least one node, not {nodes}")
        self._size = nodes
        self._partition_handling = partition_handling
        self._nodes: tuple[RabbitMQ, ...] = ()
        self._places: tuple[ErlangNode, ...] = ()
        self._epmd: _Epmd | None = None

    def start(self) -> Self:
        """Start it, or those of its nodes that were killed or stopped; return once it is whole."""
        if self._nodes:
            _at_once([node.start for node in self._nodes])
            self.await_ready()
        else:
            self._start_new()
        return self

    def close(self) -> None:
        """Kill all nodes and remove their data."""
        if self._epmd is not None:
            _at_once([place.close for place in self._places])
            self._epmd.close()
        self._nodes, self._places, self._epmd = (), (), None

    @property
    def nodes(self) -> tuple[RabbitMQ, ...]:
        """The nodes, each with `url`, `kill`, `stop`, `start`, `restart` and all else."""
        if not self._nodes:
            raise RabbitMQUnavailable("this cluster is not started: enter it, or call start()")
        return self._nodes

    @property
    def url(self) -> str:
        """The AMQP URL of the default vhost, with all nodes: `leveret.connect` tries each."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"amqp://guest:guest@{hosts}/"

    def await_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return once all nodes serve that are not stopped or killed, and all quorum queues do.

        Those have a leader then, and a member on each of these nodes that should have one.

        :param timeout: seconds.
        :raises RabbitMQUnavailable: they passed; the message says what is missing.
        """
        give_up = time.monotonic() + timeout
        while problem := self._problem():
            if time.monotonic() > give_up:
                raise RabbitMQUnavailable(f"not ready after {timeout:.0f} s: {problem}")
            time.sleep(0.02)

    def add_vhost(self, name: str) -> str:
        """Make a vhost that `guest` may use, and return its URL, with all nodes."""
        self.live_node.add_vhost(name)
        return self.url + quote(name, safe="")

    def delete_vhost(self, name: str) -> None:
        """Remove a vhost and its queues; connections to it are closed."""
        self.live_node.delete_vhost(name)

    def node_of(self, queue: str, *, vhost: str = "/") -> RabbitMQ:
        """The node where a classic queue lives, or the leader of a quorum queue.

        :raises RabbitMQUnavailable: there is no such queue.
        """
        found = self.live_node.evaluate(
            "{ok, Q} = rabbit_amqqueue:lookup("
            f"rabbit_misc:r({erlang_binary(vhost)}, queue, {erlang_binary(queue)})), "
            "case amqqueue:get_pid(Q) of {_, Node} -> Node; Pid -> node(Pid) end"
        ).strip("'")
        return next(node for node in self.nodes if node_name(node.port) == found)

    @property
    def live_node(self) -> RabbitMQ:
        """The first node that serves."""
        for node in self.nodes:
            if node.is_up:
                return node
        raise RabbitMQUnavailable("no node of the cluster serves; start one, or call await_ready()")

    def _start_new(self) -> None:
        """Somebody may take a port that was free: then it tries others."""
        installation = find_or_install()
        if installation is None:
            raise RabbitMQUnavailable(_NONE_FOUND)
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._lay_out(installation).start()
                self.start()
            except BaseException as error:
                self.close()
                if not isinstance(error, RabbitMQUnavailable) or attempt == START_ATTEMPTS:
                    raise
                say(f"trying again with other ports: {error}")
            else:
                return

    def _lay_out(self, installation: Installation) -> _Epmd:
        """Make all folders; the epmd that is to be started before the nodes."""
        *ports, epmd_port = free_ports(self._size + 1)
        cookie = new_cookie()
        self._epmd = _Epmd(installation, epmd_port, cookie)
        self._places = tuple(
            ErlangNode.create(
                installation,
                member=Membership(
                    port=port,
                    epmd_port=epmd_port,
                    cookie=cookie,
                    configuration=self._configuration(ports),
                ),
            )
            for port in ports
        )
        self._nodes = tuple(map(RabbitMQ.at, self._places))
        return self._epmd

    def _configuration(self, ports: Sequence[int]) -> str:
        """Lines for rabbitmq.conf (https://www.rabbitmq.com/docs/cluster-formation)."""
        names = "".join(
            f"cluster_formation.classic_config.nodes.{number} = {node_name(port)}\n"
            for number, port in enumerate(ports, 1)
        )
        return (
            "cluster_formation.peer_discovery_backend = classic_config\n"
            "cluster_formation.discovery_retry_limit = 20\n"
            "cluster_formation.discovery_retry_interval = 25\n"
            f"{names}"
            f"cluster_partition_handling = {self._partition_handling}\n"
        )

    def _problem(self) -> str:
        """What is not yet as it should be; empty if nothing."""
        started = [node for node in self._places if node.runs]
        if not started:
            return "no node runs"
        try:
            running = int(started[0].evaluate(f"length({_RUNNING})"))
            if running < len(started):
                return f"{running} of {len(started)} nodes serve"
            waiting = int(started[0].evaluate(_WAITING))
        except RabbitMQUnavailable as error:  # a queue that goes meanwhile, a node that restarts
            return str(error)
        return f"{waiting} quorum queues wait for a leader or members" if waiting else ""


class _Epmd:
    """The port mapper by which the nodes of a cluster find each other."""

    def __init__(self, installation: Installation, port: int, cookie: str) -> None:
        self._machine = installation.machine
        self._port = port
        self._folder = new_folder(installation, cookie)
        self._process = PrivateServer("epmd", str(self._folder))

    def start(self) -> None:
        """Return once it listens: a node that finds none at its start gives up."""
        self._process.start(
            self._machine.command(epmd_command(self._port)),
            erlang_environment(str(self._folder), self._machine),
        )
        while not listens(self._port):
            if not self._process.runs:
                said = Path(self._folder, "startup.log").read_text()
                raise RabbitMQUnavailable(f"epmd stopped while starting: {said}")
            time.sleep(0.005)

    def close(self) -> None:
        self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _at_once(actions: Sequence[Callable[[], object]]) -> None:
    """Do all at the same time, and raise the first error when all have ended."""
    if actions:
        with ThreadPoolExecutor(len(actions)) as threads:
            for done in [threads.submit(action) for action in actions]:
                done.result()
