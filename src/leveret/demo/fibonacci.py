"""The service of RabbitMQ's tutorial: the same class as examples/tutorial/fibonacci.py."""

from __future__ import annotations

from typing import Annotated

from leveret import Meta, Service, method


class Fibonacci(Service):
    """Fibonacci numbers."""

    @method(timeout=5, idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        """Return the n-th Fibonacci number."""
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a

    @method(timeout=60, idempotent=True, executor="process")
    def recursive(self, n: Annotated[int, Meta(ge=0, le=40)]) -> int:
        """Return the same the slow way, as the tutorial does.

        It keeps a processor busy, so it runs in a worker process: on the server's event loop it
        would hold up all other calls, and the heartbeats that keep the connection alive.
        """
        return recursive_fib(n)


def recursive_fib(n: int) -> int:
    """Return the n-th Fibonacci number in as many steps as it is large."""
    return n if n < 2 else recursive_fib(n - 1) + recursive_fib(n - 2)
