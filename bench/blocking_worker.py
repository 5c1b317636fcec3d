"""The processes that `bench.blocking` measures: the servers, and the clients of many threads.

Run as `python -m bench.blocking_worker leveret|pika server|client`. A client obeys
`{"threads": T, "calls": N}`: N calls, shared out to T threads. Leveret's obeys
`{"way": "blocking"|"awaited", "calls": N}` too: N calls, one after the other. Each answers how many
seconds that took, and Leveret's also how many of the processor (the protocol: `bench/peer.py`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local
from time import perf_counter, process_time
from typing import Any

import leveret.blocking

from .peers import leveret_typed, pika_tutorial
from .worker import answer_commands, run, serve

Call = Callable[[int], int]
"""Calls `increment`, and waits for its result."""


def many(pool: ThreadPoolExecutor, threads: int, calls: int, of_thread: Callable[[], Call]) -> None:
    """So many calls, by so many threads."""
    each = calls // threads
    all_there = Barrier(threads)

    def work(first: int) -> None:
        call = of_thread()
        all_there.wait()
        for number in range(first, first + each):
            if call(number) != number + 1:
                raise ValueError("a wrong result")

    for done in [pool.submit(work, each * thread) for thread in range(threads)]:
        done.result()


async def leveret_client(url: str) -> None:
    """One blocking connection for all threads, and one with asyncio."""
    blocking = leveret.blocking.connect(url)
    remote = blocking.remote(leveret_typed.Bench)
    pool = ThreadPoolExecutor(256)

    def call(number: int) -> int:
        return blocking.run(remote.increment(number))

    def one_by_one(calls: int) -> None:
        for number in range(calls):
            call(number)

    async with leveret.connect(url) as rabbit:
        awaited = rabbit.remote(leveret_typed.Bench)

        async def answer(command: dict[str, Any]) -> dict[str, Any]:
            calls, way = command["calls"], command.get("way")
            start, used = perf_counter(), process_time()
            if way == "awaited":
                for number in range(calls):
                    await awaited.increment(number)
            elif way == "blocking":
                await asyncio.to_thread(one_by_one, calls)
            else:
                threads = command["threads"]
                await asyncio.to_thread(many, pool, threads, calls, lambda: call)
            return {"seconds": perf_counter() - start, "processor": process_time() - used}

        await answer_commands(answer)
    await asyncio.to_thread(blocking.close)


async def pika_client(url: str) -> None:
    """A connection for each thread, which it keeps."""
    pool = ThreadPoolExecutor(256)
    own = local()

    def of_thread() -> Call:
        if not hasattr(own, "client"):
            own.client = pika_tutorial.connected(url)
        client: pika_tutorial.TutorialClient = own.client
        return client.increment_now

    async def answer(command: dict[str, Any]) -> dict[str, Any]:
        threads, calls = command["threads"], command["calls"]
        start = perf_counter()
        await asyncio.to_thread(many, pool, threads, calls, of_thread)
        return {"seconds": perf_counter() - start}

    await answer_commands(answer)


SERVING = {"leveret": leveret_typed.serving, "pika": pika_tutorial.serving}
CALLING: dict[str, Callable[[str], Awaitable[None]]] = {
    "leveret": leveret_client,
    "pika": pika_client,
}


if __name__ == "__main__":
    _, peer, role = sys.argv
    address = os.environ["BENCH_ADDRESS"]
    if role == "server":
        run(lambda: serve(SERVING[peer](address)), "uvloop")
    else:  # on an event loop of the kind that `leveret.blocking` has as well
        run(lambda: CALLING[peer](address), "uvloop")
