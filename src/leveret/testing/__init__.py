"""What tests of Leveret services need: a real RabbitMQ, found or started for them."""

from __future__ import annotations

from leveret.testing.broker import RabbitMQ
from leveret.testing.place import RabbitMQUnavailable

__all__ = ["RabbitMQ", "RabbitMQUnavailable"]
