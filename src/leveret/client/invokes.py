"""What makes the calls of a remote method: Protocols, as there are several kinds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from leveret.client.invocation import Terms
from leveret.observe import ClientCounters

__all__ = ["Invokes", "MakesCalls"]


class MakesCalls(Protocol):
    """What makes the calls of a method, and does not count them."""

    @property
    def new_id(self) -> Callable[[], str]:
        """Gives a call id that no call has had."""
        ...

    @property
    def parameters(self) -> Callable[..., Any]:
        """Makes of arguments what is encoded; `TypeError` for arguments that do not fit."""
        ...

    def call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
        ids: Iterator[str] | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """One call."""
        ...


class Invokes(MakesCalls, Protocol):
    """What makes the calls of a remote method, and counts them: an `Invocation`, mostly."""

    @property
    def counters(self) -> ClientCounters:
        """What is counted of them."""
        ...
