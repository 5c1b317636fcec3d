"""What the receiver of a stream tells its sender, and the window that it gives."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

WINDOW_ITEMS: Final = 256
"""How many items a receiver lets come beyond those that its consumer took. With 64, a stream of
small items is slower on RabbitMQ by a quarter, as it waits for credit."""
WINDOW_BYTES: Final = 2 * 1024 * 1024
"""How many bytes of item bodies it lets come likewise; the last item may go beyond that. With half
of it, items of 64 KB wait for credit, and cost a quarter more processor time."""
WIDEST: Final = 7
"""How many times as many bytes it lets come to a consumer that takes them quickly. Only that one
waits for credit; a slow one would only have more memory waiting. It is less than a sender keeps."""
QUICK: Final = 0.02
"""Seconds in which a quick consumer takes a quarter of the narrowest window: that is 25 MB/s."""


class Credit(Struct, frozen=True, kw_only=True, gc=False):
    """What may be sent, and what has arrived. All numbers count from the begin of the stream.

    So a credit that comes twice, or late, does no harm, and one that is lost is made good by the
    next.
    """

    got: int
    """The highest number received, with none missing before it. The end counts as one number more
    than the last item."""
    upto: int
    """The highest number that an item may have."""
    size: int
    """Bytes: no item may be sent once the bodies of those before it have so many or more."""
    again: bool = False
    """Whether all that was sent after `got` is to be sent once more."""
