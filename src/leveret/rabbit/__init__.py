"""The facade: `connect`, the `Rabbit` that it makes, and `run`."""

from __future__ import annotations

from leveret.rabbit.connecting import connect
from leveret.rabbit.rabbit import Rabbit
from leveret.rabbit.running import run
from leveret.rabbit.serving import Serving

__all__ = ["Rabbit", "Serving", "connect", "run"]
