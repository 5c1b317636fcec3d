"""Calls that stream, at a server: their results and uploads."""
