"""What tests of Leveret services need: a broker in memory, or a real RabbitMQ, found or started."""

from __future__ import annotations

from leveret.testing.broker import RabbitMQ
from leveret.testing.embedded import Broker
from leveret.testing.place import RabbitMQUnavailable
from leveret.testing.tls import TLSFiles

__all__ = ["Broker", "RabbitMQ", "RabbitMQUnavailable", "TLSFiles"]
