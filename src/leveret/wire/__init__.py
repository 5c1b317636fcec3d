"""How a call is laid on AMQP messages: `native` is wire protocol 1, `plain` the tutorial's."""
