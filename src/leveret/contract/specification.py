"""The records that describe a service once its class is read. Client and server work from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from leveret.annotations import Hook
from leveret.contract.attempts import Hedge, Retry
from leveret.contract.concurrency import Adaptive
from leveret.errors import DeclaredError

__all__ = ["Executor", "MethodSpec", "QueueOptions", "ServiceSpec", "Upload"]

Executor = Literal["loop", "thread", "process"]
"""Where a handler runs: on the event loop, in a thread, or in a process of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How the broker keeps one method's requests (https://www.rabbitmq.com/docs/queues)."""

    type: Literal["classic", "quorum"] = "classic"
    """Quorum queues are replicated over the nodes of a cluster."""
    max_length: int | None = None
    """Requests that may wait; further ones are turned away as `Busy`. None: no limit."""
    expires: float | None = None
    """Seconds without any server after which the queue is deleted. None: never."""
    max_priority: int = 0
    """The highest priority a call can have, 0 to 255. 0: no priorities."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upload:
    """The parameter of a method that its caller gives item by item while the method runs."""

    name: str
    """Its name."""
    item: Any
    """The annotation of each item."""
    position: int | None = None
    """Where it stands among all parameters, from 0 on; None: it is given by keyword only."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MethodSpec:
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
    What is uploaded is not among them."""
    result: Any
    """The annotation of what the method returns; of each item where results stream."""
    timeout: float
    """Seconds a call may take where the caller does not say."""
    idempotent: bool
    """Whether running a call twice does no harm, so that it may be run again after a crash."""
    raises: Mapping[str, type[DeclaredError]]
    """The errors this method declares, by code."""
    concurrency: int
    """Calls that one server runs at the same time, at the most: 1 to 65535."""
    executor: Executor
    """"loop" for `async def`; "thread" or "process" for plain `def`."""
    queue: QueueOptions
    """The arguments of its request queue."""
    content_type: str
    """How its bodies are encoded: one of `leveret.codec.CONTENT_TYPES`."""
    keyword_only: bool
    """Whether the handler must be called with keywords; otherwise it is called by position."""
    retry: Retry | Literal[False] | None = None
    """How its calls are tried again where the caller does not say. None: as the client does."""
    once: bool = False
    """Whether each of its calls has an idempotency key."""
    one_way: bool = False
    """Whether calling it sends a request that nobody answers."""
    keep_failed: bool = False
    """Whether servers keep one-way requests that failed in a queue of their own."""
    hedge: Hedge | Literal[False] | None = None
    """When a second request goes beside a slow one, likewise. Only idempotent methods have it."""
    adaptive: Adaptive | None = None
    """How the server finds out how many calls to run, up to `concurrency`. None: it does not."""
    streams: bool = False
    """Whether it gives its result item by item."""
    upload: Upload | None = None
    """The parameter that streams, if one does."""
    resume: bool = False
    """Whether a stream that broke goes on after the cursor of its last item, at any server."""
    type_variables: tuple[str, ...] = ()
    """The type variables in its signature that a subclass of its service will give types for."""

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceSpec:
    """One service: its name and its remote methods."""

    name: str
    """The name on the wire."""
    doc: str
    """The class docstring, without its indentation; an implementation may have its contract's."""
    methods: Mapping[str, MethodSpec]
    """The remote methods by their names in Python, inherited ones first."""
    abstract: bool
    """Whether this is a contract without its implementation, which cannot be served."""
    type_variables: tuple[str, ...] = ()
    """Those of its methods. A service that has some can be neither served nor called."""
    hooks: tuple[Hook[Any], ...] = ()
    """How types of its own travel. The annotations of its methods have those that hold in them."""
    version: str = ""
    """Its version, as its author counts; "" if the class does not say."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else the class says of itself to those who look at its servers."""
