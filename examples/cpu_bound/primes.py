"""CPU-bound work beside quick calls: `python primes.py` serves and calls in one process.

`executor="process"` runs a plain `def` in worker processes, at most one per processor. A call past
its deadline is stopped all the same: its worker is killed, and another takes its place.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import leveret
from leveret import DeadlineExceeded, Meta, Service, method


class Primes(Service):
    """Prime numbers, the hard way."""

    @method(timeout=60, idempotent=True, executor="process")
    def count_below(self, limit: Annotated[int, Meta(ge=0)]) -> int:
        """Return how many primes are below `limit`, by trying every divisor."""
        return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))

    @method
    async def ping(self) -> str:
        """Answer at once."""
        return "pong"


async def main() -> None:
    """Count, and see that quick calls go on; then give up on a count that takes too long."""
    async with leveret.connect() as rabbit, rabbit.serving(Primes()):
        primes = rabbit.remote(Primes)
        counting = asyncio.create_task(primes.count_below(60_000))
        pings = 0
        while not counting.done():
            await primes.ping()
            pings += 1
        print(f"{await counting} primes below 60000, and {pings} pings meanwhile")
        try:
            await primes.with_options(timeout=0.5).count_below(100_000_000)
        except DeadlineExceeded as error:
            print(f"gave up: {error}")
        print(f"{await primes.count_below(100)} primes below 100")


# The worker processes import this file: what follows must not happen in them.
if __name__ == "__main__":
    leveret.run(main())
