"""Attempts around a call: retries, a second request beside a slow one, a circuit breaker."""
