"""One call at a server: its life, the tables it is in, what becomes of it."""
