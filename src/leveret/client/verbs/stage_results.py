"""Reads the replies to the calls of pipes: results, or the error of a stage."""

from __future__ import annotations

from typing import Any

from leveret.client.calls.life import Pending
from leveret.client.remote_method import RemoteMethod
from leveret.client.results import Results
from leveret.codec import MethodCodec
from leveret.errors import CallError, InvalidResult, Unimplemented
from leveret.wire.message import Reply, StageReply


class StageResults(Results):
    """Reads the replies to the calls of one pipe. Each reply is from one of its stages.

    :param stages: its stages.
    """

    def __init__(
        self, method: str, codec: MethodCodec, stages: list[RemoteMethod], default_content_type: str
    ) -> None:
        super().__init__(
            method,
            codec,
            make_codec=stages[-1].invocation.results.make_codec,
            default_content_type=default_content_type,
            raises={},
        )
        self._stages = stages

    def read(
        self, reply: Reply, call: Pending, reply_metadata: dict[str, str] | None, most: int
    ) -> Any:
        """The value in the reply to a call; an error in it is raised."""
        if isinstance(reply, StageReply) and not reply.stage:
            raise self._at_stage(call, self._too_old(call, reply))
        return super().read(reply, call, reply_metadata, most)

    def _too_old(self, call: Pending, reply: StageReply) -> Unimplemented:
        """The error of a pipe that reached a server which does not know pipes."""
        executed = self.failure(call, reply).executed if reply.is_error else "yes"
        return Unimplemented(reply.problem, executed=executed)

    def failure(self, call: Pending, reply: Reply) -> CallError:
        """The error in a reply."""
        stage = self._stages[call.request.stage - 1].spec
        failure = call.request.dialect.error(reply, stage.raises, stage.key)
        return self._at_stage(call, failure)

    def invalid(self, call: Pending, why: str) -> InvalidResult:
        """The error for a reply that this client cannot read."""
        invalid = super().invalid(call, why)
        self._at_stage(call, invalid)
        return invalid

    def _at_stage(self, call: Pending, error: CallError) -> CallError:
        """An error of the call's current stage, as an error of the whole pipe."""
        stage = call.request.stage
        error.method = self._stages[stage - 1].spec.key
        error.call_id = call.id
        return at_stage(error, stage)


def at_stage(error: CallError, stage: int) -> CallError:
    """An error of a stage, as an error of the whole pipe."""
    error.stage = stage
    if stage > 1 and error.executed == "no":
        error.executed = "maybe"  # the stages before it ran
    return error
