"""The client in TypeScript of examples/node/, against servers of ours, on both brokers."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import leveret
from examples.node.shop import Line, Shop
from leveret import Rabbit, Service, current_call, method
from leveret.amqp.properties import Properties
from leveret.cli.app import app
from leveret.testing import FaultProxy
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer
from tests.docs.fences import blocks
from tests.node.conftest import EXAMPLE
from tests.node.node_driver import NODE, driving


class Gate(Shop, name="shop"):
    """A shop whose calls wait until the test opens it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.ended = 0
        self.open = asyncio.Event()

    async def reserve(self, lines: list[Line]) -> dict[str, int]:
        await self._pass()
        return {}

    async def count(self, sku: str, after: float = 0.0) -> int | None:
        await self._pass()
        return 7

    async def _pass(self) -> None:
        self.begun += 1
        try:
            await self.open.wait()
        finally:
            self.ended += 1


class Desk(Service):
    """What a caller can hear."""

    @method
    async def broken(self) -> None:
        raise ZeroDivisionError("no rabbits left")

    @method
    async def greet(self) -> str:
        call = current_call()
        return f"{call.metadata['from']} by {call.caller}"


class Narrow(Service):
    """Of whose requests one may wait."""

    @method(max_length=1)
    async def work(self) -> int:
        return 1


@pytest.fixture
async def host(broker_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(broker_url) as rabbit:
        yield rabbit


async def test_the_program_of_the_readme_prints_what_it_says(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        process = await asyncio.create_subprocess_exec(
            NODE,
            "client.ts",
            cwd=node_folder,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "LEVERET_URL": broker_url},
        )
        printed, _ = await process.communicate()
    assert process.returncode == 0
    assert printed.decode() == blocks("examples/node/README.md", "text")[0].text


async def test_calls_give_results_and_errors_of_their_class(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    async with host.serving(Shop(), Desk()), driving(node_folder, broker_url) as node:
        carrots = {"lines": [{"sku": "carrot", "count": 3}]}
        assert await node.typed("reserve", carrots).result() == {"carrot": 7}
        assert await node.typed("count", {"sku": "hay"}).result() is None
        # Longer than a timer of Node.js can wait, which fires at once then.
        assert await node.typed("count", {"sku": "carrot"}, timeout=4_000_000).result() == 7
        outcome = await node.typed("reserve", {"lines": [{"sku": "hay", "count": 1}]}).ended()
        assert (outcome["error"], outcome["code"]) == ("OutOfStock", "OUT_OF_STOCK")
        assert (outcome["executed"], outcome["data"]) == ("yes", {"sku": "hay", "left": 0})
        assert await node.call("desk.greet", metadata={"from": "Ada"}).result() == "Ada by driver"
        assert await node.call("desk.greet", {"to": 1}).failure("error", "executed") == [
            "InvalidArgument",
            "no",
        ]
        assert await node.call("desk.broken").failure("error", "code", "type", "executed") == [
            "RemoteError",
            "INTERNAL",
            "ZeroDivisionError",
            "yes",
        ]


async def test_a_call_ends_at_its_deadline_and_says_where_it_was(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate), driving(node_folder, broker_url) as node:
        late = node.typed("count", {"sku": "hay"}, timeout=0.5)
        assert await late.failure("error", "where", "executed") == [
            "DeadlineExceeded",
            "handler",
            "yes",
        ]


async def test_a_call_fails_at_once_where_no_server_listens(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    async with driving(node_folder, broker_url) as node:
        never = node.call("shop.reserve", timeout=60)
        assert await never.failure("error", "code", "executed") == [
            "Unimplemented",
            "UNIMPLEMENTED",
            "no",
        ]
        gate = Gate()
        gate.open.set()
        async with host.serving(gate):
            pass  # its queues stay
        gone = node.call("shop.reserve", {"lines": []}, timeout=60)
        assert await gone.failure("error", "code", "executed") == ["NoServer", "UNAVAILABLE", "no"]
        waits = node.typed("count", {"sku": "hay"}, timeout=60, waitForServer=True)
        async with host.serving(gate):
            assert await waits.result() == 7
    assert gate.begun == 1  # the request whose caller had given up was not run


async def test_a_request_that_waited_for_a_server_runs_if_its_caller_still_waits(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    gate = Gate()
    gate.open.set()
    async with driving(node_folder, broker_url) as node:
        async with host.serving(gate):
            pass
        waits = node.typed("reserve", {"lines": []}, timeout=60, waitForServer=True)
        async with host.serving(gate):
            assert await waits.result() == {}


async def test_a_caller_that_gives_up_cancels_the_handler(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate), driving(node_folder, broker_url) as node:
        call = node.typed("count", {"sku": "hay"}, timeout=60)
        await until(lambda: gate.begun == 1, "the handler begins")
        node.order("abort", of=call.number)
        assert await call.failure("error", "executed") == ["Cancelled", "maybe"]
        await until(lambda: gate.ended == 1, "the handler is cancelled")


async def test_replies_to_no_call_are_dropped(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    raw = await RawPeer.open(broker_url)
    async with host.serving(Shop()), driving(node_folder, broker_url) as node:
        queue = (await node.facts())["replyQueue"]
        for kind in ("result", "error", "accepted", "call"):
            raw.channel.publish("", queue, Properties(type=kind, correlation_id="nobody's"), b"")
        await raw.flushed()
        assert await node.typed("count", {"sku": "carrot"}).result() == 10
        assert (await node.facts())["ignored"] == 4
    await raw.close()


async def test_a_call_is_sent_again_if_its_server_did_not_hear_that_it_waits(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        pass  # which leaves the queues
    raw = await RawPeer.open(broker_url)
    unheard = b'{"code":"CANCELLED","type":"Unconfirmed","executed":"no","message":"not heard"}'
    async with driving(node_folder, broker_url) as node:
        counts, reserves = [await raw.take(f"leveret.shop.{it}") for it in ("count", "reserve")]
        again = node.typed("count", {"sku": "hay"}, timeout=60)
        once = node.typed("reserve", {"lines": []}, timeout=60)
        raw.answer(await counts.get(), unheard, type="error")
        raw.answer(await reserves.get(), unheard, type="error")
        assert await once.failure("error", "executed") == ["Cancelled", "no"]
        raw.answer(await counts.get(), b"7")
        assert await again.result() == 7
    await raw.close()


async def test_after_a_broken_connection_idempotent_calls_go_on_and_others_may_have_run(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    gate = Gate()
    async with (
        host.serving(gate),
        FaultProxy(broker_url) as proxy,
        driving(node_folder, proxy.url) as node,
    ):
        again = node.typed("count", {"sku": "hay"}, timeout=60)
        once = node.typed("reserve", {"lines": []}, timeout=60)
        await until(lambda: gate.begun == 2, "both run")
        proxy.cut()
        assert await once.failure("error", "executed") == ["ConnectionLost", "maybe"]
        await until(lambda: gate.begun == 3, "the idempotent one runs again")
        gate.open.set()
        assert await again.result() == 7
        assert await node.typed("reserve", {"lines": []}).result() == {}


async def test_a_call_to_a_full_queue_is_refused(
    node_folder: Path, broker_url: str, host: Rabbit
) -> None:
    raw = await RawPeer.open(broker_url)
    async with host.serving(Narrow()):
        pass  # its queue stays, and takes one request
    async with driving(node_folder, broker_url) as node:
        first = node.call("narrow.work", timeout=60, waitForServer=True)
        await until_found(lambda: raw.waiting("leveret.narrow.work"), 1, "the first one waits")
        second = node.call("narrow.work", timeout=60, waitForServer=True)
        assert await second.failure("error", "code", "executed") == [
            "Busy",
            "RESOURCE_EXHAUSTED",
            "no",
        ]
        async with host.serving(Narrow()):
            assert await first.result() == 1
    await raw.close()


@pytest.mark.embedded_only
def test_the_compiler_takes_what_is_right_and_refuses_what_is_not(node_folder: Path) -> None:
    tsc = node_folder / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [NODE, tsc, "-p", "."], cwd=node_folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_types_of_the_example_are_those_that_leveret_schema_makes() -> None:
    done = CliRunner().invoke(app, ["schema", "--typescript", "examples.node.shop:Shop"])
    assert done.exit_code == 0, done.output
    assert done.stdout == (EXAMPLE / "shop.ts").read_text()
