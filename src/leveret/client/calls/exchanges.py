"""Declares exchanges again that an operator has deleted, and holds requests meanwhile.

The broker closes the channel of a request that is published to a missing exchange. So the client
sends none before the exchange is there again. Servers declare it as well, and so may the operator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.client.calls.tasks import Begin
from leveret.errors import LeveretError

log = logging.getLogger("leveret.client")

_PAUSE: Final = 0.5
"""Seconds between two attempts to declare an exchange again."""


class Exchanges:
    """Declares missing exchanges again.

    :param restore: declares those that are missing.
    :param hold: holds requests back, and says why.
    :param release: lets requests go that were held for that reason.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        restore: Callable[[], Awaitable[None]],
        hold: Callable[[str], None],
        release: Callable[[str], None],
    ) -> None:
        self._begin = begin
        self._restore = restore
        self._hold = hold
        self._release = release
        self._why = ""

    def missing(self, name: str) -> None:
        """An exchange that requests are published to does not exist any more."""
        if self._why:
            return
        self._why = f"the exchange {name!r} does not exist on the broker any more"
        self._hold(self._why)
        self._begin(self._put_back())

    async def _put_back(self) -> None:
        said = ""
        while True:
            try:
                await self._restore()
            except LeveretError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s, and cannot be declared now: %s", self._why, error)
                await asyncio.sleep(_PAUSE)
            else:
                break
        why, self._why = self._why, ""
        self._release(why)
