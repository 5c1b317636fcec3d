"""A rule: what goes wrong at which moment, and whether it has."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from leveret.testing.faults.actions import Fault
from leveret.testing.faults.moments import Moment

if TYPE_CHECKING:
    from leveret.testing.faults.connection import FaultConnection

__all__ = ["Action", "Rule"]

log = logging.getLogger("leveret.testing.faults.proxy")

Action: TypeAlias = "Fault | Callable[[FaultConnection], object]"
"""A fault, or a plain function that gets the connection: to kill the broker at a moment, say."""


class Rule:
    """What `FaultProxy.when` returns. `await rule.fired.wait()` waits until it happened."""

    def __init__(
        self,
        moment: Moment,
        actions: tuple[Action, ...],
        each_connection: bool,
        forget: Callable[[Rule], None],
    ) -> None:
        self.moment = moment
        self.fired = asyncio.Event()
        """Set once it struck for the first time."""
        self.times = 0
        """How often it struck."""
        self.connection: FaultConnection | None = None
        """The one that it struck last."""
        self._actions = actions
        self._each_connection = each_connection
        self._forget = forget
        self._removed = False

    def __repr__(self) -> str:
        actions = ", ".join(repr(action) for action in self._actions)
        return f"<rule: {self.moment}: {actions}; struck {self.times} times>"

    def remove(self) -> None:
        """Never let it strike again."""
        self._removed = True
        self._forget(self)

    def strike(self, connection: FaultConnection) -> None:
        """Its moment has come (for the proxy to say).

        :raises Exception: what a function among its actions raised.
        """
        if self._removed:
            return
        if not self._each_connection:
            self.remove()
        log.debug("%s: %r on %r", self.moment, self._actions, connection)
        self.times += 1
        self.connection = connection
        try:
            for action in self._actions:
                self._act(action, connection)
        finally:
            self.fired.set()

    def _act(self, action: Action, connection: FaultConnection) -> None:
        if isinstance(action, Fault):
            action.strike(connection, self.moment.direction)
        elif inspect.iscoroutine(result := action(connection)):
            result.close()
            raise TypeError(
                f"{action!r} is a coroutine function: a rule takes plain ones, since the bytes wait"
            )
