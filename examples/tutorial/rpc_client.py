"""The tutorial's client: `python rpc_client.py [N] [QUEUE]` asks for fib(N), N being 30 by default.

Without QUEUE it makes a typed call to `rpc_server.py`. With one, `rpc_queue` for instance, it
speaks the tutorial's own protocol to whatever server listens there, in any language.
"""

from __future__ import annotations

import sys

from fibonacci import Fibonacci

import leveret


async def main(n: int = 30, queue: str | None = None) -> None:
    """Make one call and print its answer."""
    async with leveret.connect() as rabbit:
        if queue is None:
            answer = await rabbit.remote(Fibonacci).fib(n)
        else:
            answer = await rabbit.plain(queue, result=int).call(n)
        print(f"fib({n}) = {answer}")


if __name__ == "__main__":
    number, *queue_name = sys.argv[1:3] or ["30"]
    leveret.run(main(int(number), *queue_name))
