"""The demo's story, in a few seconds: two servers, calls that succeed and calls that fail."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from signal import SIGKILL, SIGTERM

import leveret
from leveret import (
    Busy,
    DeadlineExceeded,
    InvalidArgument,
    LeveretError,
    MaybeExecuted,
    NoServer,
    Rabbit,
    RemoteError,
    Unimplemented,
)
from leveret.broker import EmbeddedBroker
from leveret.demo.fibonacci import Fibonacci
from leveret.demo.lasting import (
    show_a_pipe,
    show_a_started_call,
    show_a_stream,
    show_progress,
)
from leveret.demo.narration import SurpriseError, expect, fails, section, show, tell
from leveret.demo.photos import Photos
from leveret.demo.server_process import ServerEndedError, ServerProcess, running_server
from leveret.demo.tidying import tidied
from leveret.demo.warehouse import OutOfStock, Warehouse

QUEUE = "rpc_queue"
FIB_30 = 832040


def run_demo(url: str | None = None) -> int:
    """Show the demo on the broker at `url`, or on an embedded one; returns the exit code.

    The code is 0 only if everything happened as the demo tells.
    """
    embedded = not url or url.startswith("embedded:")
    where = "an embedded broker" if embedded else f"RabbitMQ at {str(url).rpartition('@')[2]}"
    try:
        leveret.run(_run(None if embedded else url, where))
    except KeyboardInterrupt:
        return 130
    except SurpriseError as error:
        print(f"\nThis is not as it should be: {error}.", file=sys.stderr)
        return 1
    except (LeveretError, OSError, ServerEndedError) as error:
        print(f"\nThe demo broke off, on {where}: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(url: str | None, where: str) -> None:
    if url is not None:
        tell(f"Leveret on {where}", indent=0)
        async with tidied(url, Fibonacci, Warehouse, Photos, plain=QUEUE):
            await tell_all(url)
        return
    async with EmbeddedBroker() as broker:
        tell(
            f"Leveret on {where}, which this demo runs itself: in memory, for development and"
            " tests. LEVERET_URL names a RabbitMQ instead.",
            indent=0,
        )
        await tell_all(broker.url)


async def tell_all(url: str) -> None:
    """Tell the whole story, from the start of two servers to their end."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="leveret-demo-"))
        servers = Servers(stack, url, f"sqlite:///{folder}/once.db")
        rabbit = await stack.enter_async_context(leveret.connect(url, name="demo"))
        section("Two servers, each a process of its own")
        one, other = await servers.start("server 1", "server 2")
        await show_two_paths(rabbit)
        await show_sharing(rabbit)
        await show_cpu_bound_work(rabbit)
        await show_a_stream(rabbit)
        await show_progress(rabbit)
        await show_a_started_call(url)
        await show_a_pipe(rabbit)
        section("Calls that fail say why, and whether the handler ran")
        await show_wrong_calls(rabbit)
        await show_what_handlers_raise(rabbit)
        await show_impatience(rabbit, one, other)
        survivor = await show_a_killed_server(rabbit, one, other)
        (another,) = await servers.start("server 3")
        await show_a_drain(rabbit, survivor, another)
    print(f"All of it went as told, in {time.monotonic() - began:.1f} s.")


class Servers:
    """The servers of the demo.

    :param stack: kills those that still run at the end.
    :param once: the URL of their store of idempotency keys, which started calls stand on.
    """

    def __init__(self, stack: AsyncExitStack, url: str, once: str) -> None:
        self._stack = stack
        self._url = url
        self._once = once

    async def start(self, *names: str) -> list[ServerProcess]:
        """Start servers, and wait until they take calls."""
        servers = await asyncio.gather(
            *(
                self._stack.enter_async_context(
                    running_server(name, QUEUE, self._url, once=self._once)
                )
                for name in names
            )
        )
        for server in servers:
            tell(f"{server.name} serves fibonacci, photos and warehouse (process {server.pid})")
        return servers


async def show_two_paths(rabbit: Rabbit) -> None:
    """The typed call, the call by name, and the tutorial's own protocol."""
    section("One function, three ways to call it")
    typed = await rabbit.remote(Fibonacci).fib(30)
    show("await rabbit.remote(Fibonacci).fib(30)", typed)
    named = await rabbit.call("fibonacci.fib", n=30)
    show('await rabbit.call("fibonacci.fib", n=30)', named)
    plain = await rabbit.plain(QUEUE).call(30)
    show(f'await rabbit.plain("{QUEUE}").call(30)', repr(plain))
    tell(
        "The last one is the protocol of RabbitMQ's tutorial: text in a queue, reply_to and"
        " correlation_id. Every client and every server of the tutorial fits, in any language."
    )
    expect((typed, named, plain) == (FIB_30, FIB_30, str(FIB_30)), f"fib(30) is {FIB_30}")


async def show_sharing(rabbit: Rabbit) -> None:
    """A hundred calls at once, and which server answers each."""
    section("Servers share the work")
    replies: list[dict[str, str]] = [{} for _ in range(100)]
    fibonacci = rabbit.remote(Fibonacci)
    results = await asyncio.gather(
        *(fibonacci.with_options(reply_metadata=reply).fib(30) for reply in replies)
    )
    shares = Counter(reply.get("server", "a stranger") for reply in replies)
    tell("100 calls: " + ", ".join(f"{who} answered {n}" for who, n in sorted(shares.items())))
    expect(set(results) == {FIB_30}, f"fib(30) is {FIB_30} from each server")
    expect(len(shares) == 2, "each of the two servers should have answered some")


async def show_cpu_bound_work(rabbit: Rabbit) -> None:
    """The tutorial's recursive fib, which keeps a processor busy, beside other calls."""
    section("Work that burns a processor holds up nobody")
    fibonacci = rabbit.remote(Fibonacci)
    began = time.monotonic()
    burning = asyncio.gather(fibonacci.recursive(30), fibonacci.recursive(30))
    slowest, answered = 0.0, Counter[str | None]()
    while not burning.done():
        reply: dict[str, str] = {}
        sent = time.monotonic()
        await fibonacci.with_options(reply_metadata=reply).fib(30)
        slowest = max(slowest, time.monotonic() - sent)
        answered[reply.get("server")] += 1
    took = time.monotonic() - began
    tell(
        "Two recursive fib(30), 1.3 million steps each, in worker processes"
        f' (executor="process"), took {took:.2f} s. Meanwhile the same servers answered'
        f" {answered.total()} other calls, the slowest of them in {slowest * 1000:.0f} ms."
    )
    expect(set(await burning) == {FIB_30}, f"fib(30) is {FIB_30}")
    expect(len(answered) > 1, "both servers should have answered other calls meanwhile")


async def show_wrong_calls(rabbit: Rabbit) -> None:
    """Calls that no server runs."""
    await fails(
        "There is no such method: the broker itself says so, at once.",
        'rabbit.call("fibonacci.fob", n=30)',
        lambda: rabbit.call("fibonacci.fob", n=30),
        Unimplemented,
        "no",
    )
    await fails(
        "The client knows the contract, and does not even send this:",
        "rabbit.remote(Fibonacci).fib(-1)",
        lambda: rabbit.remote(Fibonacci).fib(-1),
        InvalidArgument,
        "no",
    )
    await fails(
        "A call by name knows no contract: here the server refuses.",
        'rabbit.call("fibonacci.fib", n="thirty")',
        lambda: rabbit.call("fibonacci.fib", n="thirty"),
        InvalidArgument,
        "no",
    )


async def show_what_handlers_raise(rabbit: Rabbit) -> None:
    """Declared errors, and bugs."""
    warehouse = rabbit.remote(Warehouse)
    error = await fails(
        "An error that the contract declares arrives as the same class, fields and all:",
        'rabbit.remote(Warehouse).reserve("carrot", 5)',
        lambda: warehouse.reserve("carrot", 5),
        OutOfStock,
        "yes",
    )
    expect(isinstance(error, OutOfStock) and error.left == 3, "its fields should have travelled")
    await fails(
        "Any other exception is a RemoteError. Nothing of it is unpickled or imported:",
        'rabbit.remote(Warehouse).reserve("turnip", 1)',
        lambda: warehouse.reserve("turnip", 1),
        RemoteError,
        "yes",
    )


async def show_impatience(rabbit: Rabbit, *servers: ServerProcess) -> None:
    """Deadlines, busy servers, and callers that are cancelled."""
    warehouse = rabbit.remote(Warehouse)
    hasty = warehouse.with_options(timeout=1)
    late = await fails(
        "The deadline passes in the handler, which is cancelled:",
        'warehouse.with_options(timeout=1).count("carrot", seconds=10)',
        lambda: hasty.count("carrot", seconds=10),
        DeadlineExceeded,
        "yes",
    )
    expect(isinstance(late, DeadlineExceeded) and late.where == "handler", "where: handler")
    packing = [asyncio.create_task(warehouse.pack(50)) for _ in servers]
    for server in servers:
        await server.says("packing")
    await fails(
        "Each server packs one parcel at a time, and now both do. This call does not want to wait:",
        'warehouse.with_options(if_busy="fail").pack(seconds=1)',
        lambda: warehouse.with_options(if_busy="fail").pack(1),
        Busy,
        "no",
    )
    late = await fails(
        "This one waits in the queue until its deadline; the broker itself sends it back:",
        "warehouse.with_options(timeout=1).pack(seconds=1)",
        lambda: hasty.pack(1),
        DeadlineExceeded,
        "no",
    )
    expect(isinstance(late, DeadlineExceeded) and late.where == "queue", "where: queue")
    for task in packing:
        task.cancel()
    await asyncio.wait(packing)
    for server in servers:
        await server.says("packing was cancelled")
    tell("The two callers that keep the servers busy are cancelled: both handlers are, too.")
    print()


async def show_a_killed_server(
    rabbit: Rabbit, one: ServerProcess, other: ServerProcess
) -> ServerProcess:
    """Kill the server that has a request; returns the other one."""
    warehouse = rabbit.remote(Warehouse)
    counting = asyncio.gather(*(warehouse.count("carrot", seconds=1) for _ in range(6)))
    shipping = asyncio.create_task(warehouse.ship(seconds=50))
    victim = await first_to_say("shipping", one, other)
    survivor = other if victim is one else one
    await victim.stop(SIGKILL)
    await fails(
        f"{victim.name} had begun with this call when it was killed (kill -9). The method is not"
        " idempotent, so nobody runs it again:",
        "rabbit.remote(Warehouse).ship(seconds=50)",
        lambda: shipping,
        MaybeExecuted,
        "maybe",
    )
    expect(await counting == [3] * 6, "the idempotent calls should have been answered")
    tell(
        f"{victim.name} also had calls of warehouse.count, which is idempotent. {survivor.name} ran"
        " those again by itself: all 6 were answered. A new server takes the dead one's place:"
    )
    return survivor


async def first_to_say(words: str, *servers: ServerProcess) -> ServerProcess:
    """The first of some servers that prints `words`."""
    listening = {asyncio.create_task(server.says(words)): server for server in servers}
    heard, unheard = await asyncio.wait(listening, return_when=asyncio.FIRST_COMPLETED)
    for task in unheard:
        task.cancel()
    await asyncio.wait(listening)
    task = heard.pop()
    task.result()
    return listening[task]


async def show_a_drain(rabbit: Rabbit, *servers: ServerProcess) -> None:
    """SIGTERM while both servers work; then no server is left."""
    section("SIGTERM: finish what runs, take no more, exit 0")
    packing = asyncio.gather(*(rabbit.remote(Warehouse).pack(seconds=0.5) for _ in servers))
    for server in servers:
        await server.says("packing")
    codes = await asyncio.gather(*(server.stop(SIGTERM) for server in servers))
    expect(await packing == ["packed"] * 2, "the calls that ran should have been answered")
    tell("Both were packing a parcel. They packed it, answered, and ended:")
    for server, code in zip(servers, codes, strict=True):
        tell(f"{server.name}: exit code {code}")
        expect(code == 0, "a drained server ends with exit code 0")
    print()
    await fails(
        "The method's queue is still there, but nobody serves it now:",
        "rabbit.remote(Fibonacci).fib(30)",
        lambda: rabbit.remote(Fibonacci).fib(30),
        NoServer,
        "no",
    )
