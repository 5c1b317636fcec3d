"""`python -m tests.rabbitmq [--install] [-- COMMAND ...]`: a command with a RabbitMQ.

The same as `python -m leveret.testing.rabbitmq`, with the RabbitMQ of the tests. `--check` starts
nothing: it only finds a RabbitMQ, or with `--install` installs it.
"""

from __future__ import annotations

import argparse
import sys

from leveret.testing import RabbitMQUnavailable
from leveret.testing.rabbitmq.place import say
from leveret.testing.rabbitmq.running import UNAVAILABLE, run_with
from tests.rabbitmq.broker import RabbitMQ

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.rabbitmq",
        description="Run a command with a RabbitMQ, its URL in LEVERET_URL.",
    )
    parser.add_argument(
        "--install", action="store_true", help="install rabbitmq-server by apt where there is none"
    )
    parser.add_argument(
        "--check", action="store_true", help="only find (with --install, install) a RabbitMQ"
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")
    options = parser.parse_args(argv)
    broker = RabbitMQ(install=options.install)
    if not options.check:
        return run_with(broker, options.command)
    try:
        broker.check()
    except RabbitMQUnavailable as error:
        say(str(error))
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
