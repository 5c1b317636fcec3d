"""A rule: which faults are caused at which moment, and whether they were."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from leveret.testing.faults.actions import Fault, Faulty
from leveret.testing.faults.moments import Moment

__all__ = ["Action", "Rule"]

log = logging.getLogger("leveret.testing.faults.proxy")

S = TypeVar("S", bound=Faulty)

Action: TypeAlias = Fault | Callable[[S], object]
"""A fault, or a plain function of what the rule strikes: to kill the broker at a moment, say."""


class Rule(Generic[S]):
    """What `FaultProxy.when` returns. `await rule.fired.wait()` waits until the rule has struck."""

    def __init__(
        self,
        moment: Moment,
        actions: tuple[Action[S], ...],
        each_connection: bool,
        on_remove: Callable[[Rule[S]], None],
    ) -> None:
        self.moment = moment
        """When it strikes."""
        self.fired = asyncio.Event()
        """Set when the rule strikes for the first time."""
        self.times = 0
        """How often the rule has struck."""
        self.connection: S | None = None
        """The connection that the rule struck last."""
        self._actions = actions
        self._each_connection = each_connection
        self._on_remove = on_remove
        self._removed = False

    def __repr__(self) -> str:
        actions = ", ".join(repr(action) for action in self._actions)
        return f"<rule: {self.moment}: {actions}; struck {self.times} times>"

    def remove(self) -> None:
        """Keep the rule from striking again."""
        self._removed = True
        self._on_remove(self)

    def strike(self, struck: S) -> None:
        """Cause the faults on `struck`. The proxy calls it when the moment has come.

        :raises Exception: what a function among the actions raised.
        """
        if self._removed:
            return
        if not self._each_connection:
            self.remove()
        log.debug("%s: %r on %r", self.moment, self._actions, struck)
        self.times += 1
        self.connection = struck
        try:
            for action in self._actions:
                self._act(action, struck)
        finally:
            self.fired.set()

    def _act(self, action: Action[S], struck: S) -> None:
        if isinstance(action, Fault):
            action.strike(struck, self.moment.direction)
        elif inspect.iscoroutine(result := action(struck)):
            result.close()
            raise TypeError(
                f"{action!r} is a coroutine function: a rule takes plain ones, since the bytes wait"
            )
