"""A private RabbitMQ node, with a node name, ports, folder, cookie and epmd of its own.

It shares nothing with the machine's own RabbitMQ or with another test run, and leaves nothing
behind. It works for any user, and takes about 3 s to start. Only the nodes of a cluster share the
cookie and the epmd by which they find each other (`Membership`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Final

from leveret.testing.rabbitmq.installed import Installation, Machine, link_needed_plugins
from leveret.testing.rabbitmq.node_settings import (
    Membership,
    NodeAddress,
    environment,
    epmd_command,
    new_cookie,
    new_folder,
    node_name,
    server_settings,
)
from leveret.testing.rabbitmq.place import RabbitMQUnavailable, say, wait_until_up
from leveret.testing.rabbitmq.ports import free_ports
from leveret.testing.rabbitmq.private_server import PrivateServer
from leveret.testing.rabbitmq.tls import PLUGIN, TLSFiles

__all__ = ["START_ATTEMPTS", "ErlangNode"]

START_ATTEMPTS: Final = 3
_CTL_TIMEOUT = 60.0
"""Seconds."""
_CALLS = count()


class ErlangNode:
    """A private RabbitMQ node, started from an installation; or one to attach to."""

    def __init__(self, address: NodeAddress, machine: Machine, *, attached: bool = False) -> None:
        self._node = address
        self._machine = machine
        self._attached = attached
        self._server = PrivateServer(address.name, address.folder)

    @classmethod
    def create(
        cls,
        installation: Installation,
        tls: TLSFiles | None = None,
        member: Membership | None = None,
    ) -> ErlangNode:
        """Make a node and its folder, without starting it."""
        port, dist_port, epmd_port, tls_port = free_ports(4)
        if member is None:
            cookie, more = new_cookie(), ""
        else:
            port, epmd_port = member.port, member.epmd_port
            cookie, more = member.cookie, member.configuration
        folder = new_folder(installation, cookie)
        plugins = [PLUGIN] if tls is not None else []
        configuration = f"listeners.tcp.1 = 127.0.0.1:{port}\n{more}"
        if tls is not None:
            configuration += tls.copied_to(folder).configuration(f"127.0.0.1:{tls_port}")
        (folder / "conf.d").mkdir()
        (folder / "environment").touch()
        (folder / "plugins.list").write_text(f"[{','.join(plugins)}].\n")
        (folder / "rabbitmq.conf").write_text(configuration)
        return cls(
            NodeAddress(
                name=node_name(port),
                folder=str(folder),
                scripts=str(link_needed_plugins(installation, folder / "rabbitmq", *plugins)),
                port=port,
                dist_port=dist_port,
                epmd_port=epmd_port,
                own_epmd=member is None,
                tls_port=tls_port if tls is not None else 0,
            ),
            installation.machine,
        )

    @classmethod
    def start_new(cls, installation: Installation, tls: TLSFiles | None = None) -> ErlangNode:
        """Make and start a node. If somebody else takes one of its ports, it tries others."""
        for attempt in range(1, START_ATTEMPTS + 1):
            node = cls.create(installation, tls)
            try:
                node.start()
            except BaseException as error:
                node.close()
                if not isinstance(error, RabbitMQUnavailable) or attempt == START_ATTEMPTS:
                    raise
                say(f"trying again with other ports: {error}")
            else:
                return node
        raise AssertionError("unreachable")

    @classmethod
    def attach(cls, address: str, machine: Machine) -> ErlangNode:
        """The node that another process started on `machine`; it can be asked, but not stopped."""
        return cls(NodeAddress(**json.loads(address)), machine, attached=True)

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

    @property
    def runs(self) -> bool:
        """Whether it was started here and has not ended."""
        return self._server.runs

    def start(self) -> None:
        self._own("start")
        if not self._server.runs:
            node = self._node
            epmd = self._machine.command(epmd_command(node.epmd_port))
            self._server.start(
                self._machine.command([f"{node.scripts}/rabbitmq-server"]),
                environment(node, self._machine) | server_settings(node),
                epmd=(node.epmd_port, epmd) if node.own_epmd else None,
            )
        wait_until_up(self._node.port, self._death, self._node.tls_port)

    def stop(self) -> None:
        self._own("stop")
        self._server.stop()

    def kill(self) -> None:
        self._own("kill")
        self._server.kill()

    def close(self) -> None:
        if not self._attached:
            self._server.kill()
            shutil.rmtree(self._node.folder, ignore_errors=True)

    def ctl(self, *args: str) -> str:
        command = [f"{self._node.scripts}/rabbitmqctl", "--quiet", "--node", self._node.name, *args]
        # Without this, rabbitmqctl would start an epmd if it found none, and leave it behind.
        settings = environment(self._node, self._machine)
        settings["RABBITMQ_CTL_ERL_ARGS"] = "-start_epmd false"
        done = _run(self._machine.command(command), settings)
        if done.returncode:
            raise RabbitMQUnavailable(
                f"rabbitmqctl {' '.join(args)} failed with exit code {done.returncode}:\n"
                f"{(done.stdout + done.stderr).strip()}"
            )
        return done.stdout

    def evaluate(self, expression: str) -> str:
        erl_call = self._machine.find_program("erl_call")
        if erl_call is None:  # it comes with Erlang, but not every package has it in PATH
            return self.ctl("eval", f"{expression}.").strip()
        # 20 ms, where rabbitmqctl starts an Erlang of its own for 0.5 to 1 s.
        # A node takes one peer of a name at a time, and erl_call's own random names collide.
        own_name = f"leveret-{os.getpid()}-{next(_CALLS)}"
        command = [erl_call, "-sname", self._node.name, "-h", own_name, "-e"]
        settings = environment(self._node, self._machine)
        done = _run(self._machine.command(command), settings, f"{expression}.\n")
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

    def _death(self) -> str | None:
        if self._server.runs:
            return None
        return "\n".join(self.log().splitlines()[-30:]) or "it wrote nothing"


def _run(
    command: list[str], settings: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=settings,
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
