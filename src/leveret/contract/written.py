"""Reads contracts from JSON: what `leveret schema` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from leveret.errors import ContractError

__all__ = ["Descriptions", "read_descriptions"]

Descriptions: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Services by name, as `service_schema` describes them."""


def read_descriptions(text: bytes | str) -> Descriptions:
    """The services of a text: one, or several as the member `services`.

    :raises ContractError: if it has none.
    """
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"it cannot be read: {error}") from None
    several = found.get("services") if isinstance(found, dict) else None
    services = several.values() if isinstance(several, dict) else [found]
    if not all(isinstance(it, dict) and {"service", "methods"} <= it.keys() for it in services):
        raise ContractError("it is not a contract, as `leveret schema` prints one")
    return {str(it["service"]): it for it in services}
