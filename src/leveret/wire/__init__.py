"""How a call is laid on AMQP messages.

`message.py` holds what client and server see of a message, `dialect.py` the Protocols of what reads
and packs it. `native/` is wire protocol 1, `tutorial.py` the protocol of RabbitMQ's sixth tutorial.
"""
