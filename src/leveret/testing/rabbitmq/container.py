"""A private RabbitMQ in a Docker container, for machines that have none installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from leveret.testing.rabbitmq.place import RabbitMQUnavailable, say, wait_until_up
from leveret.testing.rabbitmq.ports import free_ports
from leveret.testing.rabbitmq.tls import PLUGIN, TLSFiles

__all__ = ["Container", "docker_answers", "pull_image"]

IMAGE = "rabbitmq:4-alpine"
"""The image that is started, unless LEVERET_RABBITMQ_IMAGE names another."""


def docker_answers() -> bool:
    """Whether this machine has a Docker client, and an engine that it reaches."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def pull_image() -> str:
    """The image to start; pulls it if the engine does not have it.

    :raises RabbitMQUnavailable: if it cannot be pulled.
    """
    image = os.environ.get("LEVERET_RABBITMQ_IMAGE", IMAGE)
    if not _docker("images", "--quiet", image).strip():
        say(f"pulling the Docker image {image}")
        _docker("pull", "--quiet", image)
    return image


class Container:
    """A container with a port of 127.0.0.1, which it keeps when it is stopped and started."""

    def __init__(self, name: str, port: int, *, tls_port: int = 0, attached: bool = False) -> None:
        self._name = name
        self._port = port
        self._tls_port = tls_port
        self._attached = attached
        self._remover: subprocess.Popen[bytes] | None = None

    @classmethod
    def start_new(cls, image: str, tls: TLSFiles | None = None) -> Container:
        """Create and start a container, and return once it speaks AMQP."""
        port, tls_port = free_ports(2)
        container = cls(
            f"leveret-{uuid.uuid4().hex[:12]}", port, tls_port=0 if tls is None else tls_port
        )
        say(f"starting {container._name}, a Docker container of {image}")
        try:
            container._remove_after_this_process()
            published = f"127.0.0.1:{container._port}:5672"
            with_tls = ["--publish", f"127.0.0.1:{tls_port}:5671"] if tls is not None else []
            _docker("create", "--name", container._name, "--publish", published, *with_tls, image)
            if tls is not None:
                container._configure(tls)
            container.start()
        except BaseException:
            container.close()
            raise
        return container

    @classmethod
    def attach(cls, address: str) -> Container:
        """The container that another process started. It can be asked, but not stopped."""
        name, port, tls_port = address.removeprefix("docker:").split(":")
        return cls(name, int(port), tls_port=int(tls_port), attached=True)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    @property
    def tls_url(self) -> str:
        if not self._tls_port:
            raise RabbitMQUnavailable(f"{self._name} was started without TLS")
        return f"amqps://guest:guest@localhost:{self._tls_port}/"

    @property
    def address(self) -> str:
        return f"docker:{self._name}:{self._port}:{self._tls_port}"

    def start(self) -> None:
        self._own("start")
        _docker("start", self._name)
        wait_until_up(self._port, self._death)

    def stop(self) -> None:
        self._own("stop")
        _docker("stop", "--time", "30", self._name)

    def kill(self) -> None:
        self._own("kill")
        if self._death() is None:
            _docker("kill", self._name)

    def close(self) -> None:
        if self._remover is not None and self._remover.stdin is not None:
            self._remover.stdin.close()
            self._remover.wait()
            self._remover = None

    def ctl(self, *args: str) -> str:
        return _docker("exec", self._name, "rabbitmqctl", "--quiet", *args)

    def evaluate(self, expression: str) -> str:
        return self.ctl("eval", f"{expression}.").strip()

    def log(self) -> str:
        return _docker("logs", self._name)

    def _configure(self, tls: TLSFiles) -> None:
        """Copy the files into the container: the engine may be on another host."""
        inside = Path("/etc/rabbitmq")
        files = TLSFiles(
            cafile=inside / "leveret-ca.pem",
            certfile=inside / "leveret-cert.pem",
            keyfile=inside / "leveret-key.pem",
        )
        contents = {
            files.cafile: tls.cafile.read_bytes(),
            files.certfile: tls.certfile.read_bytes(),
            files.keyfile: tls.keyfile.read_bytes(),
            inside / "conf.d/20-leveret.conf": files.configuration("5671").encode(),
            inside / "enabled_plugins": f"[{PLUGIN}].\n".encode(),
        }
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "copy")
            copy.touch(0o644)  # in the container, the broker is another user
            for target, content in contents.items():
                copy.write_bytes(content)
                _docker("cp", str(copy), f"{self._name}:{target}")

    def _own(self, verb: str) -> None:
        if self._attached:
            raise RabbitMQUnavailable(
                f"this process only attached to {self._name} and may not {verb} it; "
                "start one of its own with RabbitMQ(private=True)"
            )

    def _remove_after_this_process(self) -> None:
        """Start a process that waits for the end of this one, and then removes the container."""
        script = f"cat > /dev/null; exec docker rm --force --volumes {self._name} > /dev/null 2>&1"
        self._remover = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True
        )

    def _death(self) -> str | None:
        state = _docker("inspect", "--format", "{{.State.Running}}", self._name)
        return None if state.strip() == "true" else self.log()[-2000:]


def _docker(*args: str) -> str:
    done = subprocess.run(["docker", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RabbitMQUnavailable(
            f"docker {' '.join(args)} failed with exit code {done.returncode}:\n"
            f"{(done.stdout + done.stderr).strip()}"
        )
    return done.stdout + done.stderr if args[0] == "logs" else done.stdout
