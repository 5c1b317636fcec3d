"""The records that describe a service once its class is read. Client and server work from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from leveret.annotations import Hook
from leveret.contract.attempts import Hedge, Retry
from leveret.contract.concurrency import Adaptive
from leveret.errors import DeclaredError

__all__ = ["Executor", "MethodSpec", "QueueOptions", "ServiceSpec", "Upload"]

Executor = Literal["loop", "thread", "process"]
"""Where a handler runs: on the event loop, in a thread, or in a process of its own."""


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the broker keeps one method's requests (https://www.rabbitmq.com/docs/queues)."""

    type: Literal["classic", "quorum"] = "classic"
    """Quorum queues are replicated over the nodes of a cluster."""
    max_length: int | None = None
    """Requests that may wait; further ones are turned away as `Busy`. None: no limit."""
    expires: float | None = None
    """Seconds without any server after which the queue is deleted. None: never."""
    max_priority: int = 0
    """The highest priority a call can have, 0 to 255. 0: no priorities."""


class Upload(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The parameter of a method that its caller uploads item by item while the method runs."""

    name: str
    """Its name."""
    item: Any
    """The annotation of each item."""
    position: int | None = None
    """Its position among all parameters, from 0; None if it must be given by keyword."""


class MethodSpec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One remote method of a service."""

    service: str
    """The service's name on the wire."""
    name: str
    """The method's name on the wire."""
    attribute: str
    """The method's name in Python."""
    doc: str
    """The docstring, without its indentation; an override without one has its contract's."""
    parameters: type[msgspec.Struct]
    """The arguments as one struct; fields in the order of the signature, unknown ones refused.
    The upload is not among them."""
    result: Any
    """The annotation of the result, or of each item if results stream."""
    timeout: float
    """Seconds a call may take, unless the caller says otherwise."""
    idempotent: bool
    """Whether running a call twice does no harm, so that it may be run again after a crash."""
    raises: Mapping[str, type[DeclaredError]]
    """The errors this method declares, by code."""
    concurrency: int
    """The most calls that one server runs at the same time: 1 to 65535."""
    executor: Executor
    """"loop" for `async def`; "thread" or "process" for plain `def`."""
    queue: QueueOptions
    """The arguments of its request queue."""
    content_type: str
    """How its bodies are encoded: one of `leveret.codec.CONTENT_TYPES`."""
    keyword_only: bool
    """Whether the handler must be called with keywords; otherwise it is called by position."""
    retry: Retry | Literal[False] | None = None
    """How its calls are retried, unless the caller says otherwise. None: as the client says."""
    once: bool = False
    """Whether each of its calls has an idempotency key."""
    one_way: bool = False
    """Whether it is one-way: nobody answers its requests."""
    keep_failed: bool = False
    """Whether servers keep one-way requests that failed in a queue of their own."""
    hedge: Hedge | Literal[False] | None = None
    """When its calls are hedged, unless the caller says otherwise. Only idempotent methods have
    it."""
    adaptive: Adaptive | None = None
    """How the server finds out how many calls to run, up to `concurrency`. None: it always runs as
    many."""
    streams: bool = False
    """Whether its results stream."""
    upload: Upload | None = None
    """The parameter that streams, if one does."""
    resume: bool = False
    """Whether a broken stream goes on after the cursor of its last item, at any server."""
    type_variables: tuple[str, ...] = ()
    """The type variables in its signature, for which a subclass of its service gives types."""

    @property
    def key(self) -> str:
        """The routing key of its requests: `service.method`."""
        return f"{self.service}.{self.name}"

    @property
    def queue_name(self) -> str:
        """The name of its request queue: `leveret.service.method`."""
        return f"leveret.{self.service}.{self.name}"

    @property
    def failed_queue_name(self) -> str:
        """The queue of its one-way requests that failed: `leveret.service.method.failed`."""
        return f"{self.queue_name}.failed"


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One service: its name and its remote methods."""

    name: str
    """The name on the wire."""
    doc: str
    """The class docstring, without its indentation; an implementation without one has its
    contract's."""
    methods: Mapping[str, MethodSpec]
    """The remote methods by their names in Python, inherited ones first."""
    abstract: bool
    """Whether this is a contract without its implementation, which cannot be served."""
    type_variables: tuple[str, ...] = ()
    """The type variables of its methods. A service that has some can be neither served nor
    called."""
    hooks: tuple[Hook[Any], ...] = ()
    """How types of its own travel. The annotations of its methods contain the hooks that apply to
    them."""
    version: str = ""
    """Its version, as its author numbers it; "" if the class has none."""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Metadata of the class, for those who look at its servers."""
