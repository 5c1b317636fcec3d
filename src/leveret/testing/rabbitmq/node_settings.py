"""The settings of a private RabbitMQ node: its name, ports, folder and environment."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leveret.testing.rabbitmq.installed import Installation, Machine

__all__ = [
    "Membership",
    "NodeAddress",
    "environment",
    "epmd_command",
    "erlang_environment",
    "new_cookie",
    "new_folder",
    "node_name",
    "server_settings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The settings that make a node a member of a cluster."""

    port: int
    """The port for AMQP, on 127.0.0.1. The node's name is made of it."""
    epmd_port: int
    """The port of the port mapper that all nodes share; it listens already."""
    cookie: str
    """The secret that all nodes share."""
    configuration: str
    """Lines for rabbitmq.conf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """All that a process on this machine needs in order to reach and control a node."""

    name: str
    """The Erlang node name, `leveret-...@localhost`."""
    folder: str
    """Its home: cookie, configuration, data and log."""
    scripts: str
    """The folder of `rabbitmq-server` and `rabbitmqctl`."""
    port: int
    """The port for AMQP, on 127.0.0.1."""
    dist_port: int
    """The port for Erlang's own protocol, on 127.0.0.1."""
    epmd_port: int
    """The port of the port mapper that only this node or its cluster uses, on 127.0.0.1."""
    own_epmd: bool
    """Whether the port mapper is started with the node; otherwise it runs already."""
    tls_port: int
    """The port for AMQP with TLS, on 127.0.0.1; 0 without TLS."""


def environment(node: NodeAddress, machine: Machine) -> dict[str, str]:
    """The environment of RabbitMQ's programs for one node."""
    return erlang_environment(node.folder, machine) | {
        "ERL_EPMD_PORT": str(node.epmd_port),
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_CONF_ENV_FILE": f"{node.folder}/environment",
    }


def erlang_environment(folder: str, machine: Machine) -> dict[str, str]:
    """The environment of this process, without variables that configure another node."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("RABBITMQ_", "ERL_", "CONF_ENV_FILE"))
    }
    return machine.environment(kept) | {"HOME": folder}


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
        # With a name, RabbitMQ starts no second Erlang to look for epmd: that saves 0.5 s.
        "RABBITMQ_SERVER_START_ARGS": erlang,
        # Modules without the lines of their source: a start takes 6 % less of the processor.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+L",
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
    """A new secret for nodes that are to reach each other."""
    return secrets.token_hex(16)


def new_folder(installation: Installation, cookie: str) -> Path:
    """Make a home for processes of RabbitMQ, with the cookie in it."""
    parent = installation.machine.parent_of_folders
    folder = Path(tempfile.mkdtemp(prefix="leveret-rabbitmq-", dir=parent))
    file = folder / ".erlang.cookie"
    file.write_text(cookie)
    file.chmod(0o400)
    return folder


def node_name(port: int) -> str:
    """The Erlang node name of the node that listens on this port."""
    return f"leveret-{port}@localhost"


def epmd_command(port: int) -> Sequence[str]:
    """The command of Erlang's port mapper, for the nodes of this machine only."""
    return ["epmd", "-port", str(port), "-address", "127.0.0.1"]
