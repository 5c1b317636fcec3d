"""What a difference between two contracts means for callers with the old one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Change", "Level"]


class Level(StrEnum):
    """How bad a change is for clients with the old contract, when servers have the new one.

    This includes old servers next to new ones, as during a rolling deployment.
    """

    BREAK = "break"
    """Calls fail that did not fail before, or have an effect twice, or servers cannot start."""
    WARNING = "warning"
    """Calls still succeed, but mean or do something else."""
    FINE = "fine"
    """Callers that do not use what is new notice nothing."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between two contracts."""

    level: Level
    """How bad it is."""
    method: str
    """Where: "service.method", or the service alone."""
    rule: str
    """The rule that found it, as in "argument-added"; docs/contracts.md lists the rules."""
    text: str
    """What changed, and its consequence."""
