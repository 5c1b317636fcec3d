"""What comes back of a pipe: each message says which stage it is of.

A call of a pipe is at one stage. Servers tell before they pass a result on that it is at the next
one, and all that is said of that stage comes after. What comes of a stage that the call is past is
of another copy of its request, and is dropped: that of the call is further on.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from leveret.amqp.events import Delivery
from leveret.wire.dialect import ClientDialect
from leveret.wire.message import Bounce, Notice, Reply, StageReply


class StageReader:
    """Reads what comes to the reply queue for calls of pipes: all replies are of stages."""

    def __init__(self, dialect: ClientDialect) -> None:
        self._read: Callable[[Delivery], Reply | Notice | Bounce] = dialect.read

    def read(self, delivery: Delivery) -> Reply | Notice | Bounce:
        """As `ClientDialect.read`."""
        message = self._read(delivery)
        if type(message) is Reply:
            return StageReply(**structs.asdict(message), stage=0)
        return message


def judged(reply: StageReply, *, stage: int, last: int, method: str) -> StageReply:
    """A reply, with a problem if it cannot be the end of the pipe.

    :param stage: the stage that the call is at.
    :param last: the number of the last stage.
    :param method: the method of that stage, as "service.method".
    """
    if reply.problem:
        return reply
    if not reply.stage:
        why = (
            f"the servers of {method}, stage {stage} of the pipe, know no pipes: their version of"
            " Leveret is too old"
        )
        return structs.replace(reply, problem=why)
    if not reply.is_error and reply.stage != last:
        return structs.replace(reply, problem=f"stage {stage} of the pipe did not pass its result")
    return reply
