"""How much a server takes on: places, limits, what can be finished in time."""
