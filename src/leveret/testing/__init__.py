"""What tests of Leveret services need.

A broker in memory (`Broker`); a real RabbitMQ, found or started (`RabbitMQ`); and faults on the
network between clients and a broker (`FaultProxy`).
"""

from __future__ import annotations

from leveret.testing.broker import Broker
from leveret.testing.faults.actions import (
    Corrupt,
    Cut,
    Delay,
    Fault,
    HalfOpen,
    Refuse,
    Resume,
    Stall,
    Throttle,
)
from leveret.testing.faults.connection import FaultConnection
from leveret.testing.faults.moments import (
    Frame,
    Moment,
    after_bytes,
    after_frame,
    before_frame,
    inside_frame,
)
from leveret.testing.faults.proxy import FaultProxy
from leveret.testing.faults.rules import Rule
from leveret.testing.rabbitmq.broker import RabbitMQ
from leveret.testing.rabbitmq.place import RabbitMQUnavailable
from leveret.testing.rabbitmq.tls import TLSFiles

__all__ = [
    "Broker",
    "Corrupt",
    "Cut",
    "Delay",
    "Fault",
    "FaultConnection",
    "FaultProxy",
    "Frame",
    "HalfOpen",
    "Moment",
    "RabbitMQ",
    "RabbitMQUnavailable",
    "Refuse",
    "Resume",
    "Rule",
    "Stall",
    "TLSFiles",
    "Throttle",
    "after_bytes",
    "after_frame",
    "before_frame",
    "inside_frame",
]
