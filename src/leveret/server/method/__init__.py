"""The parts of what serves one method; `server/method_server.py` puts them together."""
