"""A whole system in one thread: clients, servers and broker under a simulated clock and network."""
