"""The asyncio side of AMQP: addresses, connections, channels, heartbeats, timers."""
