"""What a service is: a class, its remote methods, their signatures, options and schemas.

Pure: reads classes and makes records of them. No I/O, and no event loop except to run a plain `def`
method of a local instance in a thread.
"""

from __future__ import annotations

from leveret.contract.attempts import Hedge, Retry, as_hedge, as_retry
from leveret.contract.comparing import differences, fingerprint
from leveret.contract.concurrency import Adaptive
from leveret.contract.declaration import method
from leveret.contract.described import described_service
from leveret.contract.left_out import given_arguments, given_struct
from leveret.contract.progress import Progress
from leveret.contract.schema import method_schema, service_schema
from leveret.contract.service import Service, handler_of, spec_of, usable_spec_of
from leveret.contract.specification import Executor, MethodSpec, QueueOptions, ServiceSpec, Upload
from leveret.contract.stream_items import CursoredItem, Item

__all__ = [
    "Adaptive",
    "CursoredItem",
    "Executor",
    "Hedge",
    "Item",
    "MethodSpec",
    "Progress",
    "QueueOptions",
    "Retry",
    "Service",
    "ServiceSpec",
    "Upload",
    "as_hedge",
    "as_retry",
    "described_service",
    "differences",
    "fingerprint",
    "given_arguments",
    "given_struct",
    "handler_of",
    "method",
    "method_schema",
    "service_schema",
    "spec_of",
    "usable_spec_of",
]
