"""One of the two servers of `demo.py`: `python demo_server.py NAME QUEUE`. It signs its answers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from fibonacci import Fibonacci
from warehouse import Warehouse

import leveret
from leveret import CurrentCall


async def main(name: str, queue: str) -> None:
    """Serve until SIGTERM, then drain."""

    async def sign(call: CurrentCall, call_next: Callable[[CurrentCall], Awaitable[Any]]) -> Any:
        call.reply_metadata["server"] = name
        return await call_next(call)

    async with leveret.connect(name=name) as rabbit:
        await rabbit.serve(
            Fibonacci(), Warehouse(), plain={queue: "fibonacci.fib"}, middleware=[sign]
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    leveret.run(main(*sys.argv[1:3]))
