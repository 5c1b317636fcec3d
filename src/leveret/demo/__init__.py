"""`leveret demo`: calls that succeed and calls that fail, each checked against what it tells."""

from __future__ import annotations

from leveret.demo.story import run_demo

__all__ = ["run_demo"]
