"""Wire protocol 1; docs/protocol.md is its specification."""
