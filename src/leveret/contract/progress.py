"""`Progress`: how far a call is, as `on_progress` receives it."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Progress"]


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a call is, as its handler last reported it (`current_call().progress`)."""

    fraction: float | None = None
    """The part that is done, from 0 to 1; None if unknown."""
    text: str = ""
    """A text for people about what is being done; "" if the handler does not say."""
