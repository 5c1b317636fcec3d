"""Attempts around a call: retries, hedging, a circuit breaker."""
