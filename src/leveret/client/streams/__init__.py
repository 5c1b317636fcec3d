"""Streams from the caller's side: what `feed.watch(3)` gives, and how its request is made."""
