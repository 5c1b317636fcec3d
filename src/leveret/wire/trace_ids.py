"""The id of the trace that a call belongs to, as its caller says in the metadata of the request.

Read by whoever tells of calls, with OpenTelemetry or without: `traceparent` is the W3C's
(https://www.w3.org/TR/trace-context/#traceparent-header).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["trace_id_of"]

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NONE: Final = "0" * 32
"""That of a caller which traces nothing."""


def trace_id_of(metadata: object) -> str:
    """Its 32 hexadecimal digits; "" where the caller says none that is one.

    :param metadata: what came with the arguments of the call.
    """
    given = metadata.get("traceparent") if isinstance(metadata, Mapping) else None
    found = _TRACEPARENT.match(given) if isinstance(given, str) else None
    return "" if found is None or found[1] == _NONE else found[1]
