"""The faults, as values, and the methods that cause them at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, TypeAlias, get_args

from leveret.testing.faults.moments import Direction

__all__ = [
    "BOTH",
    "Conditions",
    "Corrupt",
    "Cut",
    "Delay",
    "Directions",
    "Door",
    "Ending",
    "Fault",
    "Faulty",
    "Gone",
    "HalfOpen",
    "LineFault",
    "Refuse",
    "Resume",
    "Stall",
    "Throttle",
]

Directions: TypeAlias = Literal["to_broker", "to_client", "both"]
"""One way, or both."""

Gone: TypeAlias = Literal["broker", "client", "network"]
"""Which side of a half-open connection vanishes silently."""

Door: TypeAlias = Literal["open", "refuse", "hang_up", "silence"]
"""How a new connection is received."""

BOTH: Final[tuple[Direction, ...]] = ("to_broker", "to_client")


def _check(name: str, given: object, words: Sequence[object]) -> None:
    """Refuse any other word: a fault that is misspelt may not happen, and test nothing."""
    if given not in words:
        raise ValueError(f"{name} is one of {', '.join(map(repr, words))}, not {given!r}")


class Ending(Enum):
    """How a connection ends, or seems not to."""

    RESET = "both sides get a reset"
    FINISH = "both sides get an end of stream"
    BROKER_GONE = "the broker gets a reset, the client nothing"
    CLIENT_GONE = "the client gets a reset, the broker nothing"
    NETWORK_GONE = "neither gets anything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The present conditions of one direction; the fields are those of the faults.

    :param delay: seconds, as `jitter`.
    :param rate: bytes per second; None without a bound.
    """

    stalled: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None


class Fault(ABC):
    """Something that goes wrong with a connection. Faults are values: they can be reused.

    To write a fault of your own, subclass it and call the methods of what it strikes.
    """

    __slots__ = ()

    @abstractmethod
    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        """Cause it. `direction` is that of the rule's moment, or None without a rule."""


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """Close both sides at once; the bytes under way are lost.

    :param clean: False: with a reset (RST), as when a router restarts or a process is killed. True:
        with an end of stream (FIN), as when a peer closes.
    """

    clean: bool = field(default=False, kw_only=True)

    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        struck.end(Ending.FINISH if self.clean else Ending.RESET)


@dataclass(frozen=True, slots=True)
class HalfOpen(Fault):
    """Drop one side and do not tell the other, as a power cut or a firewall does.

    The proxy drops what the other side sends, and sends it nothing. That side's socket stays open
    until it closes it itself, or the proxy is closed.

    :param gone: "broker": the client isn't told. "client": the broker isn't told. "network":
        neither is.
    """

    gone: Gone = "broker"

    def __post_init__(self) -> None:
        _check("gone", self.gone, get_args(Gone))

    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        struck.end(Ending[f"{self.gone.upper()}_GONE"])


@dataclass(frozen=True, slots=True)
class Corrupt(Fault):
    """Falsify one byte.

    :param offset: which byte, counted from here: 0 is the next one to pass.
    :param replace: its new value, 0 to 255; None flips all its bits.
    :param direction: in which direction; None for that of the rule's moment.
    """

    offset: int = field(default=0, kw_only=True)
    replace: int | None = field(default=None, kw_only=True)
    direction: Direction | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check("direction", self.direction, (*BOTH, None))
        if self.offset < 0:
            raise ValueError(f"offset must be 0 bytes or more, not {self.offset}")
        if self.replace is not None and self.replace not in range(256):
            raise ValueError(f"replace must be a byte, 0 to 255, not {self.replace}")

    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        if (where := self.direction or direction) is None:
            raise ValueError('Corrupt needs direction="to_broker" or "to_client" without a moment')
        struck.spoil(where, self.offset, self.replace)


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """Refuse new connections of the proxy until `FaultProxy.accept`; open connections stay.

    :param how: "refuse": nobody listens, connection refused. "hang_up": it is accepted, and closed
        at once. "silence": it is accepted, what it sends is swallowed, and nothing comes back.
    """

    how: Literal["refuse", "hang_up", "silence"] = "refuse"

    def __post_init__(self) -> None:
        _check("how", self.how, ("refuse", "hang_up", "silence"))

    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        struck.set_door(self.how)


class LineFault(Fault):
    """A fault that lasts: it changes the conditions of one direction, or of both."""

    __slots__ = ()
    direction: Directions
    """In which direction it works."""

    @abstractmethod
    def changed(self, conditions: Conditions) -> Conditions:
        """The conditions with this fault."""

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it changes."""
        return BOTH if self.direction == "both" else (self.direction,)

    def strike(self, struck: Faulty, direction: Direction | None) -> None:
        for one in self.directions:
            struck.change(one, self)


@dataclass(frozen=True, slots=True)
class Stall(LineFault):
    """Let nothing pass, not even an end of stream, and keep all sockets open; `Resume` ends it.

    Meanwhile about 500 kB are buffered; then the sender's own buffers fill up.
    """

    direction: Directions = "both"

    def __post_init__(self) -> None:
        _check("direction", self.direction, get_args(Directions))

    def changed(self, conditions: Conditions) -> Conditions:
        return replace(conditions, stalled=True)


@dataclass(frozen=True, slots=True)
class Resume(LineFault):
    """End a `Stall`: the bytes that waited pass, and all later ones."""

    direction: Directions = "both"

    def __post_init__(self) -> None:
        _check("direction", self.direction, get_args(Directions))

    def changed(self, conditions: Conditions) -> Conditions:
        return replace(conditions, stalled=False)


@dataclass(frozen=True, slots=True)
class Delay(LineFault):
    """Delay all bytes, in their order; up to 8 MiB in each direction are under way at a time.

    :param seconds: the delay; 0 ends it.
    :param jitter: seconds; a random part of it is added.
    """

    seconds: float
    jitter: float = field(default=0.0, kw_only=True)
    direction: Directions = field(default="both", kw_only=True)

    def __post_init__(self) -> None:
        _check("direction", self.direction, get_args(Directions))
        if not (self.seconds >= 0 and self.jitter >= 0):
            raise ValueError("a delay and its jitter are 0 seconds or more")

    def changed(self, conditions: Conditions) -> Conditions:
        return replace(conditions, delay=self.seconds, jitter=self.jitter)


@dataclass(frozen=True, slots=True)
class Throttle(LineFault):
    """Limit the rate.

    :param bytes_per_second: the limit in each direction; None for no limit.
    """

    bytes_per_second: float | None
    direction: Directions = field(default="both", kw_only=True)

    def __post_init__(self) -> None:
        _check("direction", self.direction, get_args(Directions))
        if self.bytes_per_second is not None and not self.bytes_per_second > 0:
            raise ValueError("throttle to more than 0 bytes per second; to stop all, stall")

    def changed(self, conditions: Conditions) -> Conditions:
        return replace(conditions, rate=self.bytes_per_second)


class Faulty(ABC):
    """Something that faults can strike: a `FaultProxy`, or one of its connections."""

    def apply(self, *faults: Fault) -> None:
        """Cause faults now, in this order. `cut`, `stall` and so on are short for it."""
        for fault in faults:
            fault.strike(self, None)

    def cut(self, *, clean: bool = False) -> None:
        """Close both sides with a reset, or `clean` with an end of stream; see `Cut`."""
        self.apply(Cut(clean=clean))

    def half_open(self, gone: Gone = "broker") -> None:
        """Drop one side, and don't tell the other; see `HalfOpen`."""
        self.apply(HalfOpen(gone))

    def stall(self, direction: Directions = "both") -> None:
        """Let nothing pass, and keep the sockets open; see `Stall`."""
        self.apply(Stall(direction))

    def resume(self, direction: Directions = "both") -> None:
        """End a stall: the bytes that waited pass."""
        self.apply(Resume(direction))

    def delay(self, seconds: float, *, jitter: float = 0.0, direction: Directions = "both") -> None:
        """Delay all bytes by `seconds` and up to `jitter` more; 0 ends it. See `Delay`."""
        self.apply(Delay(seconds, jitter=jitter, direction=direction))

    def throttle(self, bytes_per_second: float | None, *, direction: Directions = "both") -> None:
        """Limit the rate of each direction; None ends it. See `Throttle`."""
        self.apply(Throttle(bytes_per_second, direction=direction))

    def corrupt(self, direction: Direction, *, offset: int = 0, replace: int | None = None) -> None:
        """Falsify the byte at `offset` from here, on each present connection; see `Corrupt`."""
        self.apply(Corrupt(offset=offset, replace=replace, direction=direction))

    # -- the operations that faults consist of ------------------------------------------------

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """Let nothing more pass, and end the connection in this way."""

    @abstractmethod
    def change(self, direction: Direction, fault: LineFault) -> None:
        """Change the conditions of one direction."""

    @abstractmethod
    def spoil(self, direction: Direction, offset: int, value: int | None) -> None:
        """Falsify the byte at `offset` from here."""

    @abstractmethod
    def set_door(self, door: Door) -> None:
        """Say how the proxy receives new connections."""
