"""What a store of replies promises: the protocol `OnceStore`, and what `begin` can find.

The life of a key::

    (unknown) --begin--> claimed --finish--> recorded --keep passes--> (unknown)
                         claimed --release--> (unknown)
                         claimed --lease passes--> abandoned --keep passes--> (unknown)
                                                   abandoned --finish by its owner--> recorded
                                                   abandoned --begin(takeover)--> claimed

A claim is written before the handler runs, the record after it. So whatever a server dies of, the
store never says less than what may have happened: without a record, a claim means "maybe".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias, runtime_checkable

from leveret.errors import LeveretError

__all__ = [
    "LARGE",
    "UNANSWERED",
    "Abandoned",
    "Begun",
    "LastingStore",
    "OnceStore",
    "OnceUnavailable",
    "Outcome",
    "Recorded",
    "Taken",
]

LARGE: Final = "large"
"""The `kind` of a record that says only that a reply was too large to keep. Its body is the size in
bytes, as decimal digits."""

UNANSWERED: Final = "unanswered"
"""The `kind` of a record that says only that a one-way request was run: nobody has its reply."""


class OnceUnavailable(LeveretError):
    """The store cannot be reached, or refuses. Nobody can know then whether a request was run.

    A request that must not run twice must then not run at all. The message says what to do.
    """

    @classmethod
    def because(cls, server: str, reason: str) -> Self:
        """An error that says what to do, made of a driver's error."""
        return cls(
            f"the store of idempotency keys cannot be used ({server}: {reason}); until it can,"
            " requests with such keys are not run. See that the server runs, that it can be reached"
            " from here, and that its user may do what the store does"
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """The key was free and is claimed now: run the handler, then `finish` or `release`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The request was run before, and this is the reply that it was given."""

    kind: str
    """The `type` of the reply: "result", "error", or `LARGE`. 1 to 255 printable ASCII letters."""
    content_type: str
    """The encoding of the body. At most 255 printable ASCII letters."""
    body: bytes
    """The reply's body, as it was sent."""
    metadata: dict[str, str] | None = None
    """What the handler sent beside its result."""
    owner: str = field(default="", compare=False)
    """Who ran it, by what a store says; "" if it does not. `finish` does not look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Another owner runs the request at this moment: `wait` for its record."""

    owner: str
    """Who holds the claim."""
    remaining: float
    """Seconds until its lease is over, on the store's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """An owner began the request, its lease is over, and there is no record: it may have run.

    The claim is left as it was. `begin` with `takeover=True` never finds this.
    """

    owner: str
    """Who held the claim last."""


Outcome: TypeAlias = Begun | Recorded | Taken | Abandoned
"""What `OnceStore.begin` can find."""


@runtime_checkable
class OnceStore(Protocol):
    """Remembers which requests were begun, and what they were answered.

    Of any number of callers of `begin` with the same key, through any number of stores on the same
    server, exactly one gets `Begun`. All methods may be called from any number of tasks of one
    event loop.

    Keys are text of up to `MAX_KEY` bytes in UTF-8, and any text will do: the store takes no part
    of it for anything but a name. Keys of different methods, or of callers that do not trust each
    other, must differ already: whoever knows a key can read its reply.

    An owner is one attempt to run a request, by a name that nobody else uses: 1 to 255 printable
    ASCII letters. It makes every method safe to repeat after an error: who holds the claim may
    `begin` again, which renews the lease, and `finish` again.

    A store is entered before its first use and left after its last, which closes it.

    :raises OnceUnavailable: (each method but `close`) the store cannot be reached, or refuses.
    :raises ValueError: (each method but `close`) a key, owner, time or record is out of its bounds.
    """

    @property
    def shared(self) -> bool:
        """Whether all servers share the store. If not, others may know a key that it does not."""
        ...

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        """Claim a key, or say what is known of it. Atomic.

        :param owner: this attempt, see the class.
        :param lease: seconds until others take this claim for abandoned: longer than the handler
            may run.
        :param keep: seconds after the lease for which an abandoned claim is remembered.
        :param takeover: claim an abandoned key as well: for methods that may run twice.
        """
        ...

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        """Record the reply of a request that ran; a body that is too large as `LARGE`.

        :param keep: seconds for which it is remembered.
        :returns: whether this owner held the claim, its lease over or not. If not, nothing changed.
        """
        ...

    async def release(self, key: str, *, owner: str) -> None:
        """Forget this owner's claim: the handler did not run after all. A record stays."""

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        """Wait for the record of a request that another runs.

        :param timeout: seconds; 0 only looks.
        :returns: None if the key is not claimed, or no longer (its owner released it, or its lease
            is over), or at the time-out.
        """

    async def close(self) -> None:
        """Let go of connections. What others have given to the store stays open."""

    async def __aenter__(self) -> Self:
        """Open it, so that what is wrong with it is found now."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Close it."""


@runtime_checkable
class LastingStore(OnceStore, Protocol):
    """A store that outlives the servers that use it, as started calls need."""

    async def look(self, key: str) -> Recorded | Taken | Abandoned | None:
        """What is known of a key, which is left as it is; None if nothing.

        :raises OnceUnavailable: the store cannot be reached, or refuses.
        """
