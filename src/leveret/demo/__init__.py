"""What `leveret demo` shows: how calls go well and how they fail, checked as it is told."""

from __future__ import annotations

from leveret.demo.story import run_demo

__all__ = ["run_demo"]
