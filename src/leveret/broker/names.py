"""Names that the broker makes up: of queues, consumers and direct replies."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode


def new_name(prefix: str) -> str:
    """A name that is unique and cannot be guessed, in RabbitMQ's form."""
    return prefix + urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
