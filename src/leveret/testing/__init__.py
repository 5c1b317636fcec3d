"""What tests of Leveret services need: a real RabbitMQ, found or started for them."""

from __future__ import annotations

from leveret.testing.broker import RabbitMQ
from leveret.testing.place import RabbitMQUnavailable
from leveret.testing.tls import TLSFiles

__all__ = ["RabbitMQ", "RabbitMQUnavailable", "TLSFiles"]
