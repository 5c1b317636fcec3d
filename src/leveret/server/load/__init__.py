"""How much a server takes on: places, limits, and which calls it can finish in time."""
