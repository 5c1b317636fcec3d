"""The same by Leveret: `python after.py serve`, and `python after.py call 30` elsewhere.

The server also answers the clients of before, and `call-old 30` calls a server of before.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import leveret
import leveret.blocking
from leveret import Meta, Service, method


class Fibonacci(Service):
    @method(timeout=5, idempotent=True)
    def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


async def serve() -> None:
    async with leveret.connect() as rabbit:
        await rabbit.serve(Fibonacci(), plain={"rpc_queue": "fibonacci.fib"})


def call(n: int) -> None:
    with leveret.blocking.connect() as rabbit:
        print(f"fib({n}) = {rabbit.run(rabbit.remote(Fibonacci).fib(n))}")


def call_old(n: int) -> None:
    with leveret.blocking.connect() as rabbit:
        old = rabbit.plain("rpc_queue", result=int)
        print(f"fib({n}) = {rabbit.run(old.call(n))}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            logging.basicConfig(level=logging.INFO, format="%(message)s")
            leveret.run(serve())
        case ["call", n]:
            call(int(n))
        case ["call-old", n]:
            call_old(int(n))
