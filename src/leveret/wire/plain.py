"""The protocol of RabbitMQ's sixth tutorial: text, `reply_to`, `correlation_id`, no more.

https://www.rabbitmq.com/tutorials/tutorial-six-python. A request goes to a named queue through the
default exchange. The tutorial has no errors; ours travel with `type` = "error", which its own
clients do not look at: they get the text.
"""

from __future__ import annotations

from leveret.amqp.frames import content_frames, publish_prefix
from leveret.amqp.properties import Properties, encode_properties

TEXT_CONTENT_TYPE = "text/plain"


class PlainTemplate:
    """Packs the requests to one queue."""

    def __init__(
        self, *, channel: int, frame_max: int, queue: str, reply_queue: str, user_id: str = ""
    ) -> None:
        self._channel = channel
        self._frame_max = frame_max
        self._reply_queue = reply_queue
        self._user_id = user_id or None
        self._publish = publish_prefix(channel, "", queue, mandatory=True)

    def pack(self, call_id: bytes, deadline: int, expiration: int, body: bytes, /) -> bytes:
        """The frames of one request; the deadline shows only in its expiration."""
        properties = Properties(
            content_type=TEXT_CONTENT_TYPE,
            correlation_id=call_id.decode(),
            reply_to=self._reply_queue,
            expiration=str(expiration),
            user_id=self._user_id,
        )
        return self._publish + content_frames(
            self._channel, encode_properties(properties), body, self._frame_max
        )
