"""How a call is laid on AMQP messages. `native` is wire protocol 1 of docs/protocol.md, `plain` the tutorial's."""
