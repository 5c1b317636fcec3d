"""Calls that are made in another way than by an `Invocation`, counted as that counts its own."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Iterator
from typing import Any

from leveret.client.invocation import Terms
from leveret.client.invokes import MakesCalls
from leveret.observe import ClientCounters

__all__ = ["Counted"]


class Counted:
    """What makes the calls of a remote method, each counted where it ends.

    :param makes: makes them.
    :param counters: what is counted of the method's calls.
    """

    def __init__(self, makes: MakesCalls, counters: ClientCounters) -> None:
        self.parameters = makes.parameters
        self.new_id = makes.new_id
        self._makes = makes
        self.counters = counters

    async def call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
        ids: Iterator[str] | None = None,
    ) -> Any:
        """One call.

        :raises CallError: however it fails.
        """
        time, counters = get_running_loop().time, self.counters
        began = time()
        counters.started += 1
        try:
            result = await self._makes.call(args, kwargs, terms, ids)
        except BaseException as error:
            counters.failed(error, time() - began)
            raise
        counters.answered(time() - began)
        return result
