"""`Retry` and `Hedge`: when a call is sent more than once.

Contracts have them (`@method(retry=...)`), and callers may give others. The client applies them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from leveret.errors import ContractError, InvalidArgument
from leveret.given_numbers import is_finite, is_number

__all__ = ["Hedge", "Retry", "as_hedge", "as_retry", "hedge_option", "retry_option"]

_MOST_ATTEMPTS: Final = 100


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How a call is retried after a failure that another attempt may cure.

    A call is retried only if its handler did not run (`executed` is "no") or its method is
    idempotent. All attempts share the call's deadline.

    :raises InvalidArgument: for a value out of its bounds.
    """

    attempts: int = 3
    """How often the request is sent at most, including the first time: 1 to 100."""
    backoff: float = 0.05
    """Seconds. The pause before the second attempt is random, from 0 to this; this upper bound
    doubles with each further attempt ("full jitter")."""
    most: float = 1.0
    """Seconds to which the upper bound of a pause grows."""
    budget: float = 0.2
    """Retries per call on average, over all calls of the client, plus a small reserve."""

    def __post_init__(self) -> None:
        attempts: Any = self.attempts
        if type(attempts) is not int or not 1 <= attempts <= _MOST_ATTEMPTS:
            raise InvalidArgument(f"Retry: attempts is {attempts!r}; it is 1 to {_MOST_ATTEMPTS}")
        for name in ("backoff", "most", "budget"):
            _check_amount("Retry", name, getattr(self, name))


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """When a second request is sent in addition to a slow one; the first result wins.

    For idempotent methods only. `hedge=0.05` is short for `hedge=Hedge(after=0.05)`.

    :raises InvalidArgument: for a value out of its bounds.
    """

    after: float | None = None
    """Seconds after which the second request is sent. None: after a percentile of the latencies."""
    percentile: float = 95.0
    """The percentile of the method's latest latencies after which the second request is sent, above
    0 and below 100. Until enough calls are known, none is sent."""
    at_least: float = 0.005
    """Seconds that pass at least before a second request, whatever the percentile is."""
    budget: float = 0.2
    """Second requests per call on average, as in `Retry`, from the same budget."""

    def __post_init__(self) -> None:
        percentile: object = self.percentile
        if not is_number(percentile) or not 0 < percentile < 100:
            raise InvalidArgument(
                f"Hedge: percentile is {percentile!r}; it is above 0 and below 100"
            )
        if self.after is not None:
            _check_amount("Hedge", "after", self.after)
        for name in ("at_least", "budget"):
            _check_amount("Hedge", name, getattr(self, name))


def as_retry(value: object) -> Retry | Literal[False]:
    """Read a policy as users write it.

    :raises InvalidArgument: for anything else.
    """
    if value is False or isinstance(value, Retry):
        return value
    raise InvalidArgument(f"retry must be a leveret.Retry(...), or False for none; got {value!r}")


def as_hedge(value: object) -> Hedge | Literal[False]:
    """Read a policy as users write it; a number means seconds.

    :raises InvalidArgument: for anything else.
    """
    if value is False or isinstance(value, Hedge):
        return value
    if is_number(value):
        return Hedge(after=value)
    raise InvalidArgument(
        f"hedge must be a number of seconds, a leveret.Hedge(...), or False for none; got {value!r}"
    )


def retry_option(value: object, where: str) -> Retry | Literal[False] | None:
    """Return `@method(retry=...)`.

    :raises ContractError: when it is not a policy.
    """
    try:
        return None if value is None else as_retry(value)
    except InvalidArgument as error:
        raise ContractError(f"{where}: {error.message}") from error


def hedge_option(value: object, *, idempotent: bool, where: str) -> Hedge | Literal[False] | None:
    """Return `@method(hedge=...)`.

    :raises ContractError: when it is not a policy, or the method must not run twice.
    """
    try:
        hedge = None if value is None else as_hedge(value)
    except InvalidArgument as error:
        raise ContractError(f"{where}: {error.message}") from error
    if hedge and not idempotent:
        raise ContractError(
            f"{where}: hedge sends a second request, which may also run; declare the method "
            "idempotent=True if that does no harm, or drop hedge"
        )
    return hedge


def _check_amount(policy: str, name: str, value: Any) -> None:
    if not is_finite(value) or value < 0:
        raise InvalidArgument(
            f"{policy}: {name} is {value!r}; it is a number, 0 or above, and finite as a float"
        )
