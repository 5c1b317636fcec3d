"""How often, and with which pauses, a connection that broke is opened again. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from leveret.backoff import Backoff
from leveret.errors import InvalidArgument
from leveret.given_numbers import is_duration, is_finite, is_whole

__all__ = ["NEVER", "Reconnect", "as_reconnect"]


class Reconnect(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection that broke is opened again; `connect(reconnect=...)` takes one.

    The pause before each attempt is random, between nothing and a limit that doubles from `first`
    to `most`, so that the clients of a broker that comes back do not all come at once
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    first: float = 0.1
    """The limit of the first pause, in seconds."""
    most: float = 3.0
    """The limit of the longest pause, in seconds."""
    attempts: int | None = None
    """Failed attempts in a row after which to give up; None for never. An attempt whose connection
    breaks within 5 s has failed, too."""

    def __post_init__(self) -> None:
        first, most, attempts = self.first, self.most, self.attempts
        if not (is_finite(first) and is_duration(most) and 0 < first <= most):
            raise InvalidArgument(
                f"Reconnect needs 0 < first <= most, in seconds; got {first!r} and {most!r}"
            )
        if attempts is not None and not (is_whole(attempts) and attempts >= 0):
            raise InvalidArgument(
                f"Reconnect: attempts must be 0 or more, a whole number, or None; got {attempts!r}"
            )

    def pause(self, attempt: int) -> float:
        """Seconds to wait before an attempt, the first of which is number 1."""
        return Backoff(first=self.first, most=self.most, jitter=1.0).pause(attempt)


NEVER: Final = Reconnect(attempts=0)
"""A connection that breaks stays broken."""


def as_reconnect(value: object) -> Reconnect:
    """The policy that a user gave: a `Reconnect`, True for the default, False for none.

    :raises InvalidArgument: for anything else.
    """
    if isinstance(value, Reconnect):
        return value
    if value is True:
        return Reconnect()
    if value is False:
        return NEVER
    raise InvalidArgument(
        f"reconnect must be a leveret.Reconnect(...), True or False; got {value!r}"
    )
