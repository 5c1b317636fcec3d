"""The tutorial's server: `python rpc_server.py [QUEUE]`. Start as many as you like.

It serves the typed `fibonacci.fib`, and the same function from QUEUE (`rpc_queue` where none is
named) to every client that is written as the tutorial says, in any language. Ctrl-C ends it.
"""

from __future__ import annotations

import logging
import sys

from fibonacci import Fibonacci

import leveret


async def main(queue: str = "rpc_queue") -> None:
    """Serve until SIGINT or SIGTERM, then answer what is being worked on, and end."""
    async with leveret.connect() as rabbit:
        await rabbit.serve(Fibonacci(), plain={queue: "fibonacci.fib"})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    leveret.run(main(*sys.argv[1:2]))
