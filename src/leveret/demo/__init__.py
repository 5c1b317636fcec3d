"""What `leveret demo` shows: every kind of call and of failure, checked as it is told."""

from __future__ import annotations

from leveret.demo.story import run_demo

__all__ = ["run_demo"]
