"""A server whose process ends with this one, whatever ends this one; `caretaker.py` does that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from leveret.testing.rabbitmq import caretaker
from leveret.testing.rabbitmq.place import say

__all__ = ["PrivateServer"]

_STOP_TIMEOUT = 30.0


class PrivateServer:
    """A server that is started, stopped and killed from here, again and again.

    :param name: what messages call it.
    :param folder: where it is started; what it prints goes to `startup.log` there. The folder is
        removed when this process dies without having stopped it.
    """

    def __init__(self, name: str, folder: str) -> None:
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended, by an order or by itself."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        epmd: tuple[int, Sequence[str]] | None = None,
    ) -> None:
        """Start it, after an epmd of its own, whose port and command these are."""
        arguments = [json.dumps(command)]
        if epmd is not None:
            arguments += map(json.dumps, epmd)
        with Path(self._folder, "startup.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", caretaker.__file__, self._folder, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone; after 30 s SIGKILL."""
        try:
            self._order(b"T")
        except subprocess.TimeoutExpired:
            say(f"{self._name} did not stop within {_STOP_TIMEOUT:.0f} s; it is killed")
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; does nothing where it does not run."""
        self._order(b"K")

    def _order(self, order: bytes) -> None:
        """Have the caretaker end the server, and wait until both are gone."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        if process.poll() is None:
            try:
                os.write(process.stdin.fileno(), order)
            except BrokenPipeError:
                pass  # the server ended by itself in this moment
            process.wait(_STOP_TIMEOUT)
        process.stdin.close()
        self._process = None
