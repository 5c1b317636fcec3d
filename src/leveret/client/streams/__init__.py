"""Streams at the caller's side: what `feed.watch(3)` returns, and how its request is made."""
