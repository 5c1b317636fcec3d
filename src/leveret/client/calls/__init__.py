"""The calls of one client, from their request to their end.

`client.py` puts the others together. `life.py` says where a call is and what may happen to it.
"""
