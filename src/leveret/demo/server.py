"""One of the demo's servers: `python -m leveret.demo.server NAME QUEUE ONCE`.

It puts its name into the metadata of its replies.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import leveret
from leveret import CurrentCall
from leveret.demo.fibonacci import Fibonacci
from leveret.demo.photos import Photos
from leveret.demo.warehouse import Warehouse


async def main(name: str, queue: str, once: str) -> None:
    """Serve until SIGTERM, then drain.

    :param once: the URL of the store of idempotency keys.
    """

    async def sign(call: CurrentCall, call_next: Callable[[CurrentCall], Awaitable[Any]]) -> Any:
        call.reply_metadata["server"] = name
        return await call_next(call)

    async with leveret.connect(name=name) as rabbit:
        await rabbit.serve(
            *(Fibonacci(), Photos(), Warehouse()),
            plain={queue: "fibonacci.fib"},
            middleware=[sign],
            once=once,
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    leveret.run(main(*sys.argv[1:4]))
