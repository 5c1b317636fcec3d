"""`Progress`: how far a call is, as `on_progress` gets it."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Progress"]


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a call is, as its handler last reported it (`current_call().progress`)."""

    fraction: float | None = None
    """How much is done, from 0 to 1; None where nobody can tell."""
    text: str = ""
    """What is being done, for people; "" if the handler does not say."""
