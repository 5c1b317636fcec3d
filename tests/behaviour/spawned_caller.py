"""What a spawned process runs: it imports this module, and little else."""

from __future__ import annotations

from typing import Any

import leveret.blocking


def doubled(url: str, n: Any) -> int:
    """By the service `Desk` of `test_without_asyncio.py`."""
    from leveret import Service, method

    class Desk(Service):
        @method(idempotent=True)
        async def double(self, n: int) -> int:
            raise NotImplementedError

    with leveret.blocking.connect(url) as rabbit:
        return rabbit.run(rabbit.remote(Desk).double(n))
