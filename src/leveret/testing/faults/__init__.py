"""`FaultProxy`: a cable between clients and a broker, on which a test causes faults."""
