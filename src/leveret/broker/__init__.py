"""An AMQP 0-9-1 broker inside Python: for development and tests, in memory.

The queue and exchange logic (`queues`, `exchanges`, `vhost`, `deadletter`) and the sessions
(`session`, `channel`) know no sockets and no asyncio; `server` and `link` put them on one.
"""

from __future__ import annotations

from leveret.broker.embedded import EmbeddedBroker
from leveret.broker.limits import Limits
from leveret.broker.permissions import Permissions, User

__all__ = ["EmbeddedBroker", "Limits", "Permissions", "User"]
