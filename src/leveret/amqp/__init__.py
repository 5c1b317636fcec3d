"""AMQP 0-9-1 as bytes in, events out; bytes out. No sockets, no asyncio.

`parser` turns a stream of bytes into `events`, `frames` packs what is sent, `properties` and
`tables` are the parts of a message's header. The hot frames (publish, deliver, header, body, ack,
confirm) are packed and parsed by hand; pamqp does all others.

The specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf
"""
