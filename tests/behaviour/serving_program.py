"""A program that serves until a signal ends it; `test_serve.py` runs it.

Its arguments are the URL of the broker, and the seconds of grace.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import leveret
from leveret import Service, method


class Program(Service):
    """Calls that last until a file appears."""

    @method(timeout=30)
    async def pid(self) -> int:
        return os.getpid()

    @method(timeout=30)
    async def hold(self, folder: str) -> str:
        touch(folder, "began")
        try:
            while not there(folder, "go"):  # noqa: ASYNC110 - files have no events
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            touch(folder, "cancelled")
            raise
        return "held"

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: object) -> None:
        print("left")


def touch(folder: str, name: str) -> None:
    Path(folder, name).touch()


def there(folder: str, name: str) -> bool:
    return Path(folder, name).exists()


async def main() -> None:
    async with leveret.connect(sys.argv[1]) as rabbit:
        await rabbit.serve(Program(), grace=float(sys.argv[2]))
    print("done")


if __name__ == "__main__":
    leveret.run(main())
