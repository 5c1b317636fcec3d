"""A server process that ends with this process, however this one ends; see `caretaker.py`."""

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
"""Seconds."""


class PrivateServer:
    """A server process that can be started, stopped and killed any number of times.

    :param name: its name in messages.
    :param folder: its working directory; its output goes to `startup.log` there. The folder is
        removed if this process dies without having stopped the server.
    """

    def __init__(self, name: str, folder: str) -> None:
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        epmd: tuple[int, Sequence[str]] | None = None,
    ) -> None:
        """Start it.

        :param epmd: the port and the command of an Erlang port mapper to be started before it.
        """
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
        """Send SIGTERM and wait until it has ended; after 30 s send SIGKILL."""
        try:
            self._order(b"T")
        except subprocess.TimeoutExpired:
            say(f"{self._name} did not stop within {_STOP_TIMEOUT:.0f} s; killing it")
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait until it has ended. Does nothing if it does not run."""
        self._order(b"K")

    def _order(self, order: bytes) -> None:
        """Have the caretaker end the server, and wait until both have ended."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        if process.poll() is None:
            try:
                os.write(process.stdin.fileno(), order)
            except BrokenPipeError:
                pass  # the server has just ended by itself
            process.wait(_STOP_TIMEOUT)
        process.stdin.close()
        self._process = None
