"""What serves one method is made of; `server/method_server.py` puts it together."""
