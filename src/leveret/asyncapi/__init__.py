"""AsyncAPI 3.1 documents of services. Pure: made of descriptions as `service_schema` gives them."""

from __future__ import annotations

from leveret.asyncapi.document import asyncapi

__all__ = ["asyncapi"]
