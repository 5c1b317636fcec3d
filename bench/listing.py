"""How long `leveret ls` takes with a hundred servers: processor time of the command itself.

    python -m bench.listing [SERVERS]

The servers are in this process, on an embedded broker. The command is a process of its own, as
users run it, and asks all of them. The best of five runs counts: of processor time, and from its
start to its end. A busy machine changes the first little, and the second a lot.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from contextlib import AsyncExitStack
from typing import Final

import msgspec

import leveret
from leveret import Service, method
from leveret.testing import Broker

RUNS: Final = 5


class Shelf(Service):
    """Who is to be found."""

    @method
    async def take(self, what: str) -> str:
        return what


async def listed(url: str) -> tuple[float, float, int]:
    """Run it once: seconds of processor time, seconds, and how many servers it has found."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leveret", "ls", "--json", "--timeout", "30"),
        env=os.environ | {"LEVERET_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await command.communicate()
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, took, int(msgspec.json.decode(said)["answered"])


async def main(servers: int) -> None:
    """Start the servers, and list them."""
    with Broker() as broker:
        async with AsyncExitStack() as stack:
            rabbit = await stack.enter_async_context(leveret.connect(broker.url))
            for _ in range(servers):
                await stack.enter_async_context(rabbit.serving(Shelf()))
            runs = [await listed(broker.url) for _ in range(RUNS)]
    found = {answered for _, _, answered in runs}
    print(f"{servers} servers, of which it found {', '.join(map(str, sorted(found)))}")
    print(f"processor time {min(spent for spent, _, _ in runs):.2f} s")
    print(f"from start to end {min(took for _, took, _ in runs):.2f} s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
