"""AMQP 0-9-1 as bytes in, events out; bytes out. No sockets, no asyncio.

`parser` turns a stream of bytes into `events`, `frames` packs what is sent. `methods` is the table
of all methods, and `payloads` reads and writes them by it; the frequent ones (publish, deliver,
ack, nack) `frames` and `parser` pack and parse by hand. `properties` and `tables` are the parts of
a message's header, `confirms` counts what was published.

The specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf
"""
