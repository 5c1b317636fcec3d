"""The requests of started calls: one-way ones that say for how long their outcome is kept."""

from __future__ import annotations

from leveret.amqp.tables import encode_table
from leveret.wire.dialect import Metadata
from leveret.wire.native.headers import STARTED
from leveret.wire.native.one_way import OneWayClient


class StartedClient(OneWayClient):
    """The client's end, for requests whose outcome is recorded.

    :param keep: seconds from its sending within which a server may begin a request, and for which
        its outcome is kept.
    """

    def __init__(self, keep: float) -> None:
        super().__init__(keep)
        self._kept = encode_table({STARTED: int(keep * 1000)})[4:]

    def headers(
        self,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        *,
        resent: bool = False,
        waits: bool = False,
        progress: bool = False,
    ) -> bytes:
        """Those that every request has: the store tells whether one was run before."""
        return super().headers(metadata, idempotency_key, resent=resent) + self._kept
