"""`python -m leveret.testing.rabbitmq [--install] [-- COMMAND ...]`: a command with a RabbitMQ.

Finds or starts a RabbitMQ, runs the command with its URL in LEVERET_URL, stops the broker, and ends
with the command's exit code. Without a command it prints the URL and waits for Ctrl-C. `--check`
starts nothing: it only finds one, or with `--install` installs it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

from leveret.testing.place import RabbitMQUnavailable, say
from leveret.testing.rabbitmq.broker import RabbitMQ, choose

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m leveret.testing.rabbitmq",
        description="Run a command with a RabbitMQ, its URL in LEVERET_URL.",
    )
    parser.add_argument(
        "--install", action="store_true", help="install rabbitmq-server by apt where there is none"
    )
    parser.add_argument(
        "--check", action="store_true", help="see (and with --install, see to it) that there is one"
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")
    options = parser.parse_args(argv)
    try:
        if options.check:
            choose(private=False, install=options.install)
            return 0
        with RabbitMQ(install=options.install) as broker:
            return _run(options.command, broker.url) if options.command else _wait(broker.url)
    except RabbitMQUnavailable as error:
        say(str(error))
        return 69  # EX_UNAVAILABLE, sysexits(3)


def _run(command: list[str], url: str) -> int:
    """Run the command to its end, passing SIGTERM on; Ctrl-C it gets from the terminal itself."""
    try:
        child = subprocess.Popen(command, env=os.environ | {"LEVERET_URL": url})
    except OSError as error:
        say(f"cannot run {command[0]}: {error.strerror}")
        return 127

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, lambda number, frame: None)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _wait(url: str) -> int:
    """Print the URL, and return at SIGINT or SIGTERM."""
    print(url, flush=True)
    say("press Ctrl-C to stop it")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: ended.set())
    ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
