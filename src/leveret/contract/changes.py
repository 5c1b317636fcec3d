"""What a difference of two contracts is to those who call by the old one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Change", "Level"]


class Level(StrEnum):
    """How bad a change is for clients that have the old contract, while servers have the new one.

    Also for servers that have the old one beside new ones, as in each rolling deployment.
    """

    BREAK = "break"
    """Calls fail that did not, or have an effect twice, or servers cannot start."""
    WARNING = "warning"
    """Calls go on, and mean or do something else."""
    FINE = "fine"
    """Nobody notices who does not use what is new."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference of two contracts."""

    level: Level
    """How bad it is."""
    method: str
    """Where: "service.method", or the service alone."""
    rule: str
    """Which rule says so, as "argument-added"; docs/contracts.md lists them."""
    text: str
    """What changed, and what comes of it."""
