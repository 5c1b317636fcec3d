"""The calling side: the typed remote, pending calls, deadlines, what a reply means."""
