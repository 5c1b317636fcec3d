"""The broker's end of one connection: bytes in, bytes out. Pure."""
