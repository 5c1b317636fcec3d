"""`Answers`: the outcome of one call at every server of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from leveret.errors import CallError

__all__ = ["Answers"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Generic[R]):
    """The answers of all servers to a call of `rabbit.ask_all`, and who did not answer."""

    results: dict[str, R]
    """The results, by the instance of the server: eight hexadecimal digits, new at each start."""
    errors: dict[str, CallError]
    """The errors of the servers where the call failed, by instance."""
    missing: int
    """How many known servers did not answer in time. It is not known whether they ran the call."""
    missing_instances: tuple[str, ...] = ()
    """The instances of the missing servers, where they are known: there may be fewer than
    `missing`."""
