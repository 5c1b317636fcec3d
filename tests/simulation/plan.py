"""What is to happen in a run: its calls and its faults, all drawn from the seed beforehand.

Each fault draws what it needs from dice of its own. So a run without some of its faults has the
others as they were, and the shortest schedule that fails can be found by leaving faults out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from leveret import Retry
from tests.simulation.work import KINDS, Conduct, Work

PATIENT: Final = 40.0
"""Seconds to the deadline of calls that must have a result. Faults go on for up to 27 s, and what
they did may take 10 more to be noticed."""
_CALLS_PER_SECOND: Final = (60.0, 120.0, 240.0)
_FAULTS_PER_CALL: Final = 0.106
_RETRY: Final = Retry(attempts=4, backoff=0.05)
_IMPATIENT: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"wait_for_server": True},
    {"wait_for_connection": False},
    {"if_busy": "fail"},
    {"retry": _RETRY},
)
_MISBEHAVIOUR: Final[tuple[Conduct, ...]] = ("deaf", "deaf", "raises", "refuses", "exits", "yields")

_FIRST: Final = ("results", "uploads", "one_way", "started", "pipe")
_LATER: Final = ("ask", "nested", "kept")
VERBS: Final = (*_FIRST, *_LATER)
"""What clients do beside calls, one of `System`'s deeds each."""
_DEEDS_PER_CALL: Final = 0.1
_LATER_SHARE: Final = 0.2
"""The share of all runs that have one of `_LATER`, beside what else they have."""
_MORE: Final = 5
"""How many times more there are of what is drawn alone."""

WEIGHTS: Final[Mapping[str, int]] = {
    "cut": 20,
    "cut_all_of_one": 4,
    "half_open": 2,
    "stall": 14,
    "delay": 10,
    "throttle": 6,
    "refuse": 4,
    "kill_server": 7,
    "kill_client": 3,
    "kill_all_servers": 1,
    "pause": 12,
    "clock": 8,
    "drain": 6,
    "rolling_restart": 2,
    "kill_broker": 2,
    "stop_broker": 2,
    "block": 4,
    "close_connections": 3,
    "delete_queue": 3,
    "delete_reply_queue": 2,
    "delete_exchange": 2,
    "delete_binding": 2,
    "set_policy": 2,
    "lose_store": 2,
}
"""How likely each kind of fault is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call."""

    at: float
    """When it is made, in seconds from the start."""
    client: int
    """Which client makes it."""
    key: str
    service: type[Work]
    idempotent: bool
    timeout: float
    """Seconds."""
    kept: bool
    """Whether it must have a result."""
    seconds: float
    """For how long its handler works."""
    padding: int
    """Bytes of its request."""
    conduct: Conduct
    options: Mapping[str, Any]
    """As for `with_options`."""
    give_up: float | None
    """Seconds after which its caller goes away; None for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDeed:
    """Something else that a client does."""

    at: float
    """When it is begun, in seconds from the start."""
    client: int
    """Which client does it."""
    key: str
    verb: str
    """One of `VERBS`."""
    kinds: tuple[type[Work], ...]
    """The services whose methods it may use."""
    seed: str
    """Of what it draws."""
    calm: bool = False
    """Whether no fault is to be expected: then it must end well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One fault."""

    number: int
    at: float
    """When it strikes, in seconds from the start."""
    kind: str
    """The name of a method of `Faults`."""
    seed: str
    """Of what it draws."""

    def __str__(self) -> str:
        return f"fault {self.number} at {self.at:.3f} s: {self.kind.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A run."""

    seed: int
    calls: tuple[PlannedCall, ...]
    faults: tuple[PlannedFault, ...]
    span: float
    """Seconds in which calls are made and faults strike."""
    kinds: tuple[type[Work], ...]
    """The services that are served and called."""
    servers: int
    """How many there are, but for those that are killed and not replaced yet."""
    clients: int
    verbs: tuple[str, ...] = ()
    """What clients do beside calls."""
    deeds: tuple[PlannedDeed, ...] = ()
    """That, one by one."""


def plan(seed: int, calls: int, *, only: str = "") -> Plan:
    """Draw a run of so many calls.

    :param only: "calls" to draw nothing else, as runs were drawn before there was anything else;
        one of `VERBS` for nothing but that beside calls, and more of it; "" for all.
    """
    dice = random.Random(f"{seed} plan")
    # Few or many calls at a time, and few or many faults, so that each meets some peace as well.
    span = max(2.0, calls / dice.choice(_CALLS_PER_SECOND) * dice.uniform(0.6, 1.6))
    count = round(calls * _FAULTS_PER_CALL)
    # Few services, servers and clients at a time: most work of a run is to connect them again.
    kinds = tuple(dice.sample(KINDS, dice.choice((1, 2, 2))))
    servers, clients = dice.choice((1, 2, 2, 3)), dice.choice((1, 2, 3))
    times = sorted(_time(dice, span) for _ in range(calls))
    made = tuple(_call(dice, f"{number:x}", at, kinds, clients) for number, at in enumerate(times))
    harms = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    strikes = sorted(dice.uniform(0.0, span) for _ in range(count))
    faults = tuple(
        PlannedFault(number=number, at=at, kind=kind, seed=f"{seed} fault {number}")
        for number, (at, kind) in enumerate(zip(strikes, harms, strict=True))
    )
    drawn = Plan(seed, made, faults, span, kinds, servers, clients)
    return drawn if only == "calls" else _with_deeds(drawn, only)


def _with_deeds(drawn: Plan, only: str) -> Plan:
    """The run with what else its clients do; some do nothing else."""
    dice = random.Random(f"{drawn.seed} deeds")
    verbs = (only,) if only else tuple(dice.sample(_FIRST, dice.choice((0, 1, 1, 2, 2))))
    share = _DEEDS_PER_CALL * (_MORE if only else 1)
    deeds = _deeds(drawn, dice, verbs, share) if verbs else ()
    # With dice of their own, so that the seeds that failed before there were any are as they were.
    for verb in () if only else _LATER:
        dice = random.Random(f"{drawn.seed} {verb}")
        if dice.random() < _LATER_SHARE:
            verbs += (verb,)
            deeds += _deeds(drawn, dice, (verb,), _DEEDS_PER_CALL)
    return replace(drawn, verbs=verbs, deeds=deeds)


def _deeds(
    drawn: Plan, dice: random.Random, verbs: tuple[str, ...], share: float
) -> tuple[PlannedDeed, ...]:
    """So many of each call, by chance of these verbs."""
    times = sorted(_time(dice, drawn.span) for _ in range(round(len(drawn.calls) * share)))
    return tuple(
        PlannedDeed(
            at=at,
            client=dice.randrange(drawn.clients),
            key=f"{verb}-{number:x}",
            verb=verb,
            kinds=drawn.kinds,
            seed=f"{drawn.seed} deed {number} {verb if verb in _LATER else ''}".strip(),
        )
        for number, at in enumerate(times)
        for verb in (dice.choice(verbs),)
    )


def _time(dice: random.Random, span: float) -> float:
    """When a call is made: evenly, or in a burst with others."""
    if dice.random() < 0.25:
        return min(span, span * dice.randint(0, 9) / 10 + dice.random() * 0.01)
    return dice.uniform(0.0, span)


def _call(
    dice: random.Random, key: str, at: float, kinds: tuple[type[Work], ...], clients: int
) -> PlannedCall:
    idempotent = dice.random() < 0.6
    service = dice.choice(kinds)
    timeout = PATIENT
    conduct: Conduct = ""
    options: Mapping[str, Any]
    kept = False
    if dice.random() < 0.35:
        timeout = dice.choice((0.02, 0.1, 0.3, 1.0))
        options = dice.choice(_IMPATIENT)
    elif not idempotent:
        timeout = dice.choice((2.0, 3.0, 5.0))
        options = dice.choice(({}, {"retry": _RETRY}))
    else:
        # Calls with keys are Busy while the store is away, and so are those of a full queue.
        kept = service.__name__ in ("Work", "Quorum")
        options = dice.choice(({}, {}, {"retry": _RETRY}, {"hedge": 0.1}))
    if dice.random() < 0.08:
        conduct = dice.choice(_MISBEHAVIOUR)
        kept = kept and conduct == "deaf"
    return PlannedCall(
        at=at,
        client=dice.randrange(clients),
        key=key,
        service=service,
        idempotent=idempotent,
        timeout=timeout,
        kept=kept,
        seconds=dice.choice((0.0, 0.0, 0.01, 0.05, 0.4)),
        padding=dice.randint(1, 200_000) if dice.random() < 0.01 else 0,
        conduct=conduct,
        options={"wait_for_server": kept, **options},
        give_up=dice.uniform(0.0, 0.1) if dice.random() < 0.05 else None,
    )
