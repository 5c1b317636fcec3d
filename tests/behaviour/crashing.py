"""Breaks a connection as a crash would: without a word to the broker."""

from __future__ import annotations

from leveret import Rabbit


def crash(rabbit: Rabbit) -> None:
    """Its socket is gone, with all that was in it."""
    rabbit.calls.link.connection.abort("the test let it crash")
