"""What a private RabbitMQ node is told at its start: its name, ports, folder and environment."""

from __future__ import annotations

import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leveret.testing.chroot import SHARED_FOLDER, environment_inside
from leveret.testing.installed import Installation

__all__ = [
    "Membership",
    "NodeAddress",
    "environment",
    "epmd_command",
    "erlang_environment",
    "free_ports",
    "new_cookie",
    "new_folder",
    "node_name",
    "server_settings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What makes a node one of a cluster."""

    port: int
    """AMQP, on 127.0.0.1: the others know the node's name by it."""
    epmd_port: int
    """Where the port mapper of all nodes listens already."""
    cookie: str
    """By which they trust each other."""
    configuration: str
    """Lines for rabbitmq.conf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """All that a process on this machine must know to reach a node, and to steer it."""

    name: str
    """The Erlang node name, `leveret-...@localhost`."""
    folder: str
    """Its home: cookie, configuration, data and log."""
    scripts: str
    """Where `rabbitmq-server` and `rabbitmqctl` are."""
    root: str
    """The folder with the Debian that it runs in (see `chroot`); empty for this machine's own."""
    port: int
    """AMQP, on 127.0.0.1."""
    dist_port: int
    """Erlang's own protocol, on 127.0.0.1."""
    epmd_port: int
    """The port mapper that only this node or its cluster uses, on 127.0.0.1."""
    own_epmd: bool
    """Whether the port mapper is started with the node, or runs already."""
    tls_port: int
    """AMQP with TLS, on 127.0.0.1; 0 without."""


def environment(node: NodeAddress) -> dict[str, str]:
    """What RabbitMQ's programs must know of a node, and nothing that would mislead them."""
    return erlang_environment(node.folder, node.root) | {
        "ERL_EPMD_PORT": str(node.epmd_port),
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_CONF_ENV_FILE": f"{node.folder}/environment",
    }


def erlang_environment(folder: str, root: str) -> dict[str, str]:
    """This process's, without what would lead RabbitMQ or Erlang anywhere else."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("RABBITMQ_", "ERL_", "CONF_ENV_FILE"))
    }
    return (environment_inside(kept) if root else kept) | {"HOME": folder}


def server_settings(node: NodeAddress) -> dict[str, str]:
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


def new_cookie() -> str:
    """What nodes that are to reach each other have in common, and nobody else knows."""
    return secrets.token_hex(16)


def new_folder(installation: Installation, cookie: str) -> Path:
    """A home for processes of RabbitMQ, with the cookie in it, where they see it too."""
    shared = SHARED_FOLDER if installation.root else None
    folder = Path(tempfile.mkdtemp(prefix="leveret-rabbitmq-", dir=shared))
    file = folder / ".erlang.cookie"
    file.write_text(cookie)
    file.chmod(0o400)
    return folder


def node_name(port: int) -> str:
    """What the node that listens there is called among Erlang nodes."""
    return f"leveret-{port}@localhost"


def epmd_command(port: int) -> Sequence[str]:
    """Erlang's port mapper, for the nodes of this machine only."""
    return ["epmd", "-port", str(port), "-address", "127.0.0.1"]


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
