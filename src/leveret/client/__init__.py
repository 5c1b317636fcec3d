"""The calling side: the typed remote, pending calls, deadlines, replies."""
