"""Names that the broker makes: of queues, consumers and direct replies."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode


def new_name(prefix: str) -> str:
    """A name that nobody has nor guesses, as RabbitMQ makes them."""
    return prefix + urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
