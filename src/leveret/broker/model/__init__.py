"""What a broker holds, and what it decides: exchanges, queues, consumers, times. Pure."""
