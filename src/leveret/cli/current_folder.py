"""The folder that a command was started in, which may be gone by the time a worker starts anew."""

from __future__ import annotations

from pathlib import Path

__all__ = ["current_folder"]


def current_folder() -> Path | None:
    """The current folder; None if it was removed, as an update of what is deployed may do."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
