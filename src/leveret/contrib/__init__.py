"""Leveret in other people's frameworks, where a recipe would be longer than a few lines."""
