"""The serving side: deliveries, execution, replies, drain."""
