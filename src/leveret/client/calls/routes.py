"""What a client knows of the queues that it sends requests to: one `Route` for each."""

from __future__ import annotations

from typing import Final

from leveret.client.calls.route import Route
from leveret.wire.dialect import ClientDialect

_MOST: Final = 10_000
"""How many queues are remembered."""


class Routes:
    """The routes of one client."""

    def __init__(self) -> None:
        self.by_label: dict[str, Route] = {}
        """The route of each queue, by the name that error messages have for it."""

    def route(self, key: str, dialect: ClientDialect, label: str = "") -> Route:
        """What is known of the queue for requests with this routing key.

        :param label: how error messages name it, if not by its key.
        """
        label = label or key
        route = self.by_label.get(label)
        if route is None:
            if len(self.by_label) >= _MOST:
                self.by_label.clear()  # remotes in use keep theirs
            route = Route(label, dialect.queue(key), dialect.control_key(key))
            self.by_label[label] = route
        return route
