"""The asyncio side of AMQP 0-9-1: from a URL to a connection that is restored when it breaks.

`link` is the top. It has `opening` open one connection after the other, and restores the members
that live on them. `connection` wires `states`, `handshake`, `channel`, `writer` and `heartbeat`, of
which the first two are pure. No module here is public: users import from `leveret`.
"""
