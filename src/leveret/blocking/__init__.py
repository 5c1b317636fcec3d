"""Leveret without asyncio: for scripts, threads, Django views, Flask, Celery tasks.

    import leveret.blocking

    with leveret.blocking.connect() as rabbit:
        fibonacci = rabbit.remote(Fibonacci)
        rabbit.run(fibonacci.fib(30))

The calls of one connection run on an event loop in a thread of its own, which keeps heartbeats and
reconnects while the program computes.
"""

from leveret.blocking.connecting import connect
from leveret.blocking.rabbit import Rabbit

__all__ = ["Rabbit", "connect"]
