"""A RabbitMQ of one's own on this machine: own node name, ports, folder, cookie and epmd.

Nothing of it is shared with the machine's own RabbitMQ or with another test run, and nothing is
left behind. It works for any user, and takes about 3 s to start.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from leveret.testing import supervise
from leveret.testing.installed import link_needed_plugins
from leveret.testing.place import RabbitMQUnavailable, say, wait_until_up
from leveret.testing.tls import PLUGIN, TLSFiles

__all__ = ["ErlangNode", "NodeAddress", "free_ports"]

_STOP_TIMEOUT = 30.0
_CTL_TIMEOUT = 60.0
_START_ATTEMPTS = 3
_CALLS = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """All that a process on this machine must know to reach a node, and to steer it."""

    name: str
    """The Erlang node name, `leveret-...@localhost`."""
    folder: str
    """Its home: cookie, configuration, data and log."""
    scripts: str
    """Where `rabbitmq-server` and `rabbitmqctl` are."""
    port: int
    """AMQP, on 127.0.0.1."""
    dist_port: int
    """Erlang's own protocol, on 127.0.0.1."""
    epmd_port: int
    """The port mapper that only this node uses, on 127.0.0.1."""
    tls_port: int
    """AMQP with TLS, on 127.0.0.1; 0 without."""


class ErlangNode:
    """A private RabbitMQ node, started with the scripts in a folder; or one to attach to."""

    def __init__(self, address: NodeAddress, *, attached: bool = False) -> None:
        self._node = address
        self._attached = attached
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, scripts: Path, tls: TLSFiles | None = None) -> ErlangNode:
        """A node that is yet to be started, its folder laid out."""
        folder = Path(tempfile.mkdtemp(prefix="leveret-rabbitmq-"))
        port, dist_port, epmd_port, tls_port = free_ports(4)
        plugins = [PLUGIN] if tls is not None else []
        configuration = f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        if tls is not None:
            configuration += tls.configuration(f"127.0.0.1:{tls_port}")
        (folder / "conf.d").mkdir()
        (folder / "environment").touch()
        (folder / "plugins.list").write_text(f"[{','.join(plugins)}].\n")
        (folder / "rabbitmq.conf").write_text(configuration)
        cookie = folder / ".erlang.cookie"
        cookie.write_text(f"{random.getrandbits(128):032x}")
        cookie.chmod(0o400)
        return cls(
            NodeAddress(
                name=f"leveret-{port}@localhost",
                folder=str(folder),
                scripts=str(link_needed_plugins(scripts, folder / "rabbitmq", *plugins)),
                port=port,
                dist_port=dist_port,
                epmd_port=epmd_port,
                tls_port=tls_port if tls is not None else 0,
            )
        )

    @classmethod
    def start_new(cls, scripts: Path, tls: TLSFiles | None = None) -> ErlangNode:
        """A node that runs. Somebody may take a port that was free: then it tries others."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            node = cls.create(scripts, tls)
            try:
                node.start()
            except BaseException as error:
                node.close()
                if not isinstance(error, RabbitMQUnavailable) or attempt == _START_ATTEMPTS:
                    raise
                say(f"trying again with other ports: {error}")
            else:
                return node
        raise AssertionError("unreachable")

    @classmethod
    def attach(cls, address: str) -> ErlangNode:
        """The node that another process started; it can be asked, but not stopped."""
        return cls(NodeAddress(**json.loads(address)), attached=True)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._node.port}/"

    @property
    def tls_url(self) -> str:
        if not self._node.tls_port:
            raise RabbitMQUnavailable(f"{self._node.name} was started without TLS")
        return f"amqps://guest:guest@localhost:{self._node.tls_port}/"

    @property
    def address(self) -> str:
        return json.dumps(asdict(self._node))

    def start(self) -> None:
        self._own("start")
        if self._supervisor is not None and self._supervisor.poll() is None:
            return
        node = self._node
        epmd = ["epmd", "-port", str(node.epmd_port), "-address", "127.0.0.1"]
        server = [f"{node.scripts}/rabbitmq-server"]
        command = [sys.executable, "-I", "-S", supervise.__file__, node.folder, str(node.epmd_port)]
        with Path(node.folder, "startup.log").open("ab") as output:
            self._supervisor = subprocess.Popen(
                [*command, json.dumps(epmd), json.dumps(server)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=_environment(node) | _server_settings(node),
                cwd=node.folder,
                start_new_session=True,
            )
        wait_until_up(node.port, self._death)

    def stop(self) -> None:
        self._own("stop")
        try:
            self._order(b"T", _STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            say(f"{self._node.name} did not stop within {_STOP_TIMEOUT:.0f} s; it is killed")
            self.kill()

    def kill(self) -> None:
        self._own("kill")
        self._order(b"K", _STOP_TIMEOUT)

    def close(self) -> None:
        if not self._attached:
            self.kill()
            shutil.rmtree(self._node.folder, ignore_errors=True)

    def ctl(self, *args: str) -> str:
        command = [f"{self._node.scripts}/rabbitmqctl", "--quiet", "--node", self._node.name, *args]
        # A ctl that finds no epmd would start one, and leave it behind.
        environment = _environment(self._node) | {"RABBITMQ_CTL_ERL_ARGS": "-start_epmd false"}
        done = _run(command, environment)
        if done.returncode:
            raise RabbitMQUnavailable(
                f"rabbitmqctl {' '.join(args)} failed with exit code {done.returncode}:\n"
                f"{(done.stdout + done.stderr).strip()}"
            )
        return done.stdout

    def evaluate(self, expression: str) -> str:
        erl_call = shutil.which("erl_call")
        if erl_call is None:  # it comes with Erlang, but not every package has it in PATH
            return self.ctl("eval", f"{expression}.").strip()
        # 20 ms, where rabbitmqctl starts an Erlang of its own for 0.5 to 1 s.
        # A node takes one peer of a name at a time, and erl_call's own random names collide.
        own_name = f"leveret-{os.getpid()}-{next(_CALLS)}"
        command = [erl_call, "-sname", self._node.name, "-h", own_name, "-e"]
        done = _run(command, _environment(self._node), f"{expression}.\n")
        answer = done.stdout.strip()
        if done.returncode or not answer.startswith("{ok, "):
            raise RabbitMQUnavailable(
                f"{self._node.name} could not evaluate {expression!r}:\n"
                f"{answer}{done.stderr.strip()}"
            )
        return answer.removeprefix("{ok, ").removesuffix("}")

    def log(self) -> str:
        files = (Path(self._node.folder, name) for name in ("startup.log", "rabbitmq.log"))
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def _own(self, verb: str) -> None:
        if self._attached:
            raise RabbitMQUnavailable(
                f"this process only attached to {self._node.name} and may not {verb} it; "
                "start one of its own with RabbitMQ(private=True)"
            )

    def _order(self, order: bytes, timeout: float) -> None:
        """Have the supervisor end the server, and wait until both are gone."""
        supervisor = self._supervisor
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        if supervisor.poll() is None:
            try:
                os.write(supervisor.stdin.fileno(), order)
            except BrokenPipeError:
                pass  # the server ended by itself in this moment
            supervisor.wait(timeout)
        supervisor.stdin.close()
        self._supervisor = None

    def _death(self) -> str | None:
        if self._supervisor is not None and self._supervisor.poll() is None:
            return None
        return "\n".join(self.log().splitlines()[-30:]) or "it wrote nothing"


def _environment(node: NodeAddress) -> dict[str, str]:
    """This process's, without what would lead RabbitMQ or Erlang anywhere else."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("RABBITMQ_", "ERL_", "CONF_ENV_FILE"))
    }
    return kept | {
        "HOME": node.folder,
        "ERL_EPMD_PORT": str(node.epmd_port),
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_CONF_ENV_FILE": f"{node.folder}/environment",
    }


def _server_settings(node: NodeAddress) -> dict[str, str]:
    """RabbitMQ's own variables: https://www.rabbitmq.com/docs/configure#supported-environment-variables."""
    folder = node.folder
    erlang = (
        f"-noinput -start_epmd false -sname {node.name} "
        f"-kernel inet_dist_listen_min {node.dist_port} inet_dist_listen_max {node.dist_port} "
        "inet_dist_use_interface {127,0,0,1}"
    )
    return {
        "RABBITMQ_SCRIPTS_DIR": node.scripts,
        # With this the script becomes the Erlang VM, so signals reach it; -noinput undoes the rest.
        "RABBITMQ_ALLOW_INPUT": "true",
        # A name from the start spares RabbitMQ the Erlang that it else starts to find epmd: 0.5 s.
        "RABBITMQ_SERVER_START_ARGS": erlang,
        "RABBITMQ_NODE_PORT": str(node.port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(node.dist_port),
        "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
        "RABBITMQ_CONFIG_FILES": f"{folder}/conf.d",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins.list",
        "RABBITMQ_MNESIA_BASE": f"{folder}/data",
        "RABBITMQ_LOG_BASE": folder,
        "RABBITMQ_LOGS": f"{folder}/rabbitmq.log",
    }


def _run(
    command: list[str], environment: dict[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=_CTL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RabbitMQUnavailable(
            f"{command[0]} did not finish within {_CTL_TIMEOUT:.0f} s; is the broker running?"
        ) from error


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on.

    From below the range that kernels give to outgoing connections (32768 and up on Linux): such a
    connection could take the port of a broker that is stopped for a moment.
    """
    return [port for _, port in zip(range(count), _free_ports(), strict=False)]


def _free_ports() -> Iterator[int]:
    for port in random.sample(range(20_000, 32_000), 12_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
