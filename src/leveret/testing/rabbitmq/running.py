"""Runs a command with a RabbitMQ: its URL in LEVERET_URL, its end with the command's."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

from leveret.testing.rabbitmq.broker import RabbitMQ
from leveret.testing.rabbitmq.place import RabbitMQUnavailable, say

__all__ = ["UNAVAILABLE", "run_with"]

UNAVAILABLE: Final = 69
"""Exit code without any RabbitMQ: EX_UNAVAILABLE of sysexits(3)."""
_CANNOT_RUN: Final = 127
"""Exit code of a command that cannot be started, as shells have it."""


def run_with(broker: RabbitMQ, command: Sequence[str]) -> int:
    """Start the broker, run the command, and stop the broker; returns the command's exit code.

    Without a command, print the broker's URL and wait for SIGINT or SIGTERM.
    """
    try:
        with broker:
            return _run(command, broker.url) if command else _wait(broker.url)
    except RabbitMQUnavailable as error:
        say(str(error))
        return UNAVAILABLE


def _run(command: Sequence[str], url: str) -> int:
    """Run the command to its end. SIGTERM is passed on; Ctrl-C reaches it from the terminal."""
    try:
        child = subprocess.Popen(command, env=os.environ | {"LEVERET_URL": url})
    except OSError as error:
        say(f"cannot run {command[0]}: {error.strerror}")
        return _CANNOT_RUN

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, lambda number, frame: None)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _wait(url: str) -> int:
    print(url, flush=True)
    say("press Ctrl-C to stop it")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: ended.set())
    ended.wait()
    return 0
