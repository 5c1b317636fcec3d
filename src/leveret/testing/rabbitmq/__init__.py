"""A real RabbitMQ, found or started. `python -m leveret.testing.rabbitmq` is `__main__.py`."""

from __future__ import annotations

from leveret.testing.place import RabbitMQUnavailable
from leveret.testing.rabbitmq.broker import RabbitMQ

__all__ = ["RabbitMQ", "RabbitMQUnavailable"]
