"""The version of Leveret: the build and the answers of servers read it here."""

__version__ = "0.2.0"
