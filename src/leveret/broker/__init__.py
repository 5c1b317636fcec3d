"""An AMQP 0-9-1 broker in Python, in memory, for development and tests.

`model` holds exchanges, queues and messages; `session` is the broker's end of a connection. Both
are pure: `running`, `link`, `embedded`, `shared` and `pipe` put them on an event loop.
"""

from __future__ import annotations

from leveret.broker.embedded import EmbeddedBroker
from leveret.broker.limits import Limits
from leveret.broker.permissions import Permissions, User

__all__ = ["EmbeddedBroker", "Limits", "Permissions", "User"]
