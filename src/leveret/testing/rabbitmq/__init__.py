"""A real RabbitMQ, found or started. `python -m leveret.testing.rabbitmq` is `__main__.py`."""

from __future__ import annotations

from leveret.testing.rabbitmq.broker import RabbitMQ
from leveret.testing.rabbitmq.place import RabbitMQUnavailable

__all__ = ["RabbitMQ", "RabbitMQUnavailable"]
