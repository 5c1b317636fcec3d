"""A call by the control exchange, which all servers of a service run, or one of them."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from leveret.amqp.tables import decode_table
from leveret.client.calls.asking import Question
from leveret.client.calls.gathering import Gathering
from leveret.client.calls.listener import Listener
from leveret.client.calls.route import Route
from leveret.client.invocation import Terms
from leveret.client.invocations import NATIVE, MakeCodec
from leveret.client.invokes import MakesCalls
from leveret.client.options import CallOptions
from leveret.client.verbs.answers import Answers
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS
from leveret.contract import MethodSpec
from leveret.errors import CallError, ContractError, InvalidArgument, InvalidResult, Unimplemented
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.dialect import ClientDialect
from leveret.wire.message import Reply


class Asker(Protocol):
    """What this file needs of the client."""

    def route(self, key: str, dialect: ClientDialect, label: str = "") -> Route:
        """What the client knows of the queue for requests with this routing key."""
        ...

    async def ask_all(self, question: Question, timeout: float) -> Gathering:
        """Have the servers of a question run a call.

        :raises CallError: if it cannot be sent, or there is no server.
        """
        ...


def check_options(verb: str, spec: MethodSpec, options: CallOptions) -> None:
    """:raises InvalidArgument: for options that need a queue for the request."""
    for name, is_given in (
        ("idempotency_key", options.idempotency_key is not None),
        ("priority", options.priority is not None),
        ("if_busy", options.if_busy == "fail"),
    ):
        if is_given:
            raise InvalidArgument(
                f"{verb} does not take {name}: its requests wait in no queue", method=spec.key
            )


class AskingServers:
    """Makes the calls in place of the `Invocation` of a remote method, inside its middleware.

    :param stall: seconds without news after which the client waits for no more answers.
    :param instance: the one server that is asked; "" for all servers of the service.
    """

    def __init__(
        self,
        spec: MethodSpec,
        options: CallOptions,
        make_codec: MakeCodec,
        client_here: Callable[[], Asker],
        like: MakesCalls,
        stall: float,
        instance: str = "",
    ) -> None:
        self.parameters = like.parameters
        self.new_id = like.new_id
        self._spec = spec
        self._wait_for_connection = options.wait_for_connection
        self._codec = make_codec(spec, options.content_type or spec.content_type)
        self._make_codec = make_codec
        self._client_here = client_here
        self._stall = stall
        self._instance = instance

    async def call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
        ids: Iterator[str] | None = None,
    ) -> Answers[Any]:
        """Make one call, as `Invocation.call` does."""
        key = self._spec.key
        try:
            body = self._codec.encode_arguments(self.parameters(*args, **kwargs))
        except ENCODE_ERRORS as error:
            raise InvalidArgument(str(error), method=key) from error
        timeout = terms.timeout
        if find_current_call() is not None:
            timeout = within_current_call(timeout, key)
        client = self._client_here()
        listener = None
        if terms.on_progress is not None:
            listener = Listener(terms.on_progress, get_running_loop(), key)
        question = Question(
            id=self.new_id() if ids is None else next(ids),
            route=self._route(client),
            method=self._spec.name,
            instance=self._instance,
            dialect=NATIVE,
            content_type=self._codec.content_type,
            body=body,
            headers=decode_table(terms.headers, 0, len(terms.headers)),
            stall=self._stall,
            wait_for_connection=self._wait_for_connection,
            listener=listener,
        )
        gathering = await client.ask_all(question, timeout)
        own = gathering.replies.get(self._instance)
        if own is not None and own.metadata and terms.reply_metadata is not None:
            terms.reply_metadata.update(own.metadata)
        return self._answers(question.id, gathering)

    def _route(self, client: Asker) -> Route:
        key = self._spec.key
        if not self._instance:
            return client.route(key, NATIVE)
        return Route(key, NATIVE.queue(key), f"{NATIVE.control_key(key)}.{self._instance}")

    def _answers(self, call_id: str, gathering: Gathering) -> Answers[Any]:
        results: dict[str, Any] = {}
        errors: dict[str, CallError] = {}
        for instance, reply in sorted(gathering.replies.items()):
            try:
                results[instance] = self._result(reply)
            except CallError as error:
                errors[instance] = self._too_old() if self._is_misread(error) else error
        for instance in sorted(gathering.unable):
            errors[instance] = self._too_old()
        for failure in errors.values():
            failure.call_id = call_id
        return Answers(
            results=results,
            errors=errors,
            missing=gathering.missing,
            missing_instances=gathering.missing_instances,
        )

    def _is_misread(self, error: CallError) -> bool:
        """Whether a server of 0.2.0 took the key for one server for the name of a service."""
        named = f"{self._spec.key.partition('.')[0]}.{self._instance}.{self._spec.name}"
        return isinstance(error, Unimplemented) and error.message.endswith(named)

    def _too_old(self) -> Unimplemented:
        return Unimplemented(
            "its version of Leveret does not know these calls",
            executed="no",
            method=self._spec.key,
        )

    def _result(self, reply: Reply) -> Any:
        """:raises CallError: the error in the reply, or that of a reply that cannot be read."""
        spec = self._spec
        if reply.is_error and not reply.problem and reply.body is not None:
            raise NATIVE.error(reply, spec.raises, spec.key)
        if reply.problem or reply.body is None:
            why = reply.problem or f"the reply of {reply.body_size} bytes is too large"
            raise InvalidResult(why, method=spec.key)
        codec = self._codec
        try:
            if reply.content_type not in (None, codec.content_type):
                codec = self._make_codec(spec, reply.content_type or "")
            return codec.decode_result(reply.body)
        except ContractError as error:
            raise InvalidResult(str(error), method=spec.key) from error
        except DECODE_ERRORS as error:
            why = f"the reply does not fit the contract: {error}"
            raise InvalidResult(why, method=spec.key) from error
