"""Reads the messages for pipes, each of which says which stage it is from.

A call of a pipe is at one stage. A server tells the client before it passes a result on to the next
stage, so all messages of that stage come after that. A message of an earlier stage is from another
copy of the request, which is behind, and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from leveret.amqp.events import Delivery
from leveret.wire.dialect import ClientDialect
from leveret.wire.message import Bounce, Notice, Reply, StageReply


class StageReader:
    """Reads the messages of the reply queue for calls of pipes."""

    def __init__(self, dialect: ClientDialect) -> None:
        self._read: Callable[[Delivery], Reply | Notice | Bounce] = dialect.read

    def read(self, delivery: Delivery) -> Reply | Notice | Bounce:
        """As `ClientDialect.read`."""
        message = self._read(delivery)
        if type(message) is Reply:
            return StageReply(**structs.asdict(message), stage=0)
        return message


def judged(reply: StageReply, *, stage: int, last: int, method: str) -> StageReply:
    """The reply, marked as a problem if it cannot be the end of the pipe.

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
