"""`python -m leveret.testing.rabbitmq [-- COMMAND ...]`: a command with a RabbitMQ.

Finds or starts a RabbitMQ, runs the command with its URL in LEVERET_URL, stops the broker, and ends
with the command's exit code. Without a command it prints the URL and waits for Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys

from leveret.testing.rabbitmq.broker import RabbitMQ
from leveret.testing.rabbitmq.running import run_with

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m leveret.testing.rabbitmq",
        description="Run a command with a RabbitMQ, its URL in LEVERET_URL.",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")
    return run_with(RabbitMQ(), parser.parse_args(argv).command)


if __name__ == "__main__":
    sys.exit(main())
