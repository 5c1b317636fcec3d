"""`rabbit.pipe(a, b, c)`: a chain of methods, each of which gets the result of the one before it.

A pipe is one call. Its request names the stages after the first one, and servers pass the results
on among themselves; see `wire/native/stages.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from msgspec import structs

from leveret.client.calls.request import InPipe, Request
from leveret.client.invocation import Invocation
from leveret.client.invocations import NATIVE, Invocations, typed_codec
from leveret.client.options import MAX_KEY, MAX_TIMEOUT, CallOptions, GivenOptions
from leveret.client.remote_method import RemoteMethod
from leveret.client.sender import Sender
from leveret.client.verbs.remote_methods import remote_method_of
from leveret.client.verbs.stage_results import StageResults
from leveret.codec import argument_codec
from leveret.contract import MethodSpec, method_schema
from leveret.contract.fitting import misfit
from leveret.errors import ContractError, InvalidArgument
from leveret.wire.message import MAX_STAGES, Stage
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.stages import OF_A_STAGE
from leveret.wire.native.started import StartedClient

_KEPT: Final = 256
"""How many pipes are kept for later calls."""


def make_pipe(
    invocations: Invocations, options: CallOptions, given: tuple[object, ...]
) -> RemoteMethod:
    """Make a pipe of remote methods.

    :raises InvalidArgument: if they are not remote methods of this client, or the pipe cannot be
        called with these options.
    :raises ContractError: if a stage cannot take the result of the one before it.
    """
    stages = [remote_method_of(one, "pipe") for one in given]
    if not 2 <= len(stages) <= MAX_STAGES:
        raise InvalidArgument(f"a pipe has 2 to {MAX_STAGES} stages; got {len(stages)}")
    _check_options(options, stages, invocations)
    kept = invocations.pipes
    shape = (*(id(one.invocation) for one in stages), *options.shape)
    invocation = kept.get(shape)
    if invocation is None:
        if len(kept) >= _KEPT:
            kept.clear()
        # The ids stay taken, as the stages' invocations are kept in the pipe's.
        shared = [one.as_a_stage() for one in stages]
        invocation = kept[shape] = _invocation_of(shared, invocations, options)
    if options.idempotency_key is not None:
        options = structs.replace(options, idempotency_key=key_of_stage(options.idempotency_key, 1))
    made_by = invocations, typed_codec
    return RemoteMethod(invocation, invocation.spec, options, made_by, invocations.middleware)


def changed_pipe(pipe: RemoteMethod, options: GivenOptions) -> RemoteMethod:
    """The same pipe with some options changed, as `RemoteMethod.changed` does for a method.

    :raises InvalidArgument: if it cannot be called with them.
    """
    if not options:
        return pipe
    made = pipe.invocation
    assert isinstance(made, PipeInvocation)
    merged = pipe.options.merged(options)
    _check_options(merged, made.stages, made.invocations)
    return pipe.twin(_invocation_of(made.stages, made.invocations, merged), **options)


def started_pipe(pipe: RemoteMethod, key: str, keep: float) -> RemoteMethod:
    """The same pipe, whose calls are started, as `RemoteMethod.started` does for a method."""
    made = pipe.invocation
    assert isinstance(made, PipeInvocation)
    changes: dict[str, Any] = {
        "idempotency_key": key_of_stage(key, 1),
        "expires_in": keep,
        "retry": False,
        "hedge": False,
    }
    options = structs.replace(pipe.options, **changes)
    starting = _invocation_of(made.stages, made.invocations, options, keep=keep)
    return pipe.twin(starting, **changes)


def stages_of(method: RemoteMethod) -> list[RemoteMethod]:
    """The stages of a pipe; for a method, that method alone."""
    made = method.invocation
    return made.stages if isinstance(made, PipeInvocation) else [method]


def key_of_stage(key: str, stage: int) -> str:
    """The key of a stage of a pipe that has a key."""
    return f"{key}/{stage}"


def check_key_of_pipe(key: str) -> None:
    """:raises InvalidArgument: if a pipe cannot have such a key."""
    if len(key_of_stage(key, MAX_STAGES).encode()) > MAX_KEY:
        raise InvalidArgument(
            f"the idempotency_key of a pipe has at most {MAX_KEY - 3} bytes; got {key!r}"
        )


def _check_options(
    options: CallOptions, stages: list[RemoteMethod], invocations: Invocations
) -> None:
    if options.if_busy == "fail":
        raise InvalidArgument(
            'a pipe cannot have if_busy="fail": the client cannot know whether its later stages are'
            " busy"
        )
    if options.content_type is not None:
        raise InvalidArgument(
            "a pipe has no content type: each stage has that of its remote,"
            " rabbit.remote(...).with_options(content_type=...)"
        )
    if options.idempotency_key is not None:
        check_key_of_pipe(options.idempotency_key)
    for stage in stages:
        if stage.spec.one_way or stage.spec.streams or stage.spec.upload is not None:
            raise ContractError(
                f"{stage.spec.key} cannot be a stage of a pipe: a stage takes one"
                " argument and gives one result, and is neither a stream nor one-way"
            )
        if not stage.invocation.is_of(invocations.here):
            raise InvalidArgument(f"{stage!r} belongs to another connection", method=stage.spec.key)
        if stage.has_options_beside(options):
            raise InvalidArgument(
                "its remote has options of its own; a pipe has those of the object that makes it:"
                " rabbit.with_options(...).pipe(...)",
                method=stage.spec.key,
            )


def _invocation_of(
    stages: list[RemoteMethod],
    invocations: Invocations,
    options: CallOptions,
    *,
    keep: float | None = None,
) -> PipeInvocation:
    """The invocation that makes the calls of a pipe.

    :param keep: seconds for which its outcome is kept, if its calls are started.
    """
    specs = tuple(stage.spec for stage in stages)
    content_types = [stage.invocation.content_type for stage in stages]
    then = [
        Stage(
            method=spec.key,
            argument=_taking(before, spec, content_type),
            content_type=content_type,
            repeatable=_is_repeatable(spec) or options.idempotency_key is not None,
        )
        for before, spec, content_type in zip(specs, specs[1:], content_types[1:], strict=False)
    ]
    spec = _spec_of_all(specs)
    _check_priority(specs[0], options)
    headers = NATIVE.stages(then, content_types[0])
    has_key = options.idempotency_key is not None
    dialect: NativeClient = NATIVE if keep is None else StartedClient(keep)
    first, last = stages[0].invocation, stages[-1].invocation
    codec = structs.replace(last.codec, encode_arguments=first.codec.encode_arguments)
    if keep is not None:  # what stands for the reply, once the broker has the request
        codec = structs.replace(codec, decode_result=lambda _body: None)
    policy = invocations.policy(spec, options)
    new_key = policy is not None and spec.once and not has_key

    def make_request(sender: Sender) -> Request:
        routes = [sender.route(one.key, NATIVE) for one in specs]
        return Request(
            sender.channel,
            dialect,
            routes[0],
            key=specs[0].key,
            content_type=OF_A_STAGE,
            priority=options.priority,
            idempotent=spec.idempotent,
            keyed=spec.once or has_key,
            names_key=has_key or new_key,
            wait_for_server=options.wait_for_server,
            wait_for_connection=options.wait_for_connection,
            one_way=keep is not None,
            in_pipe=InPipe(headers=headers, routes=routes[1:]),
        )

    return PipeInvocation(
        invocations.here,
        invocations.new_id,
        make_request,
        method=spec.key,
        parameters=first.parameters,
        codec=codec,
        results=StageResults(spec.key, codec, stages, content_types[-1]),
        counters=invocations.counters.of(spec.key),
        policy=policy,
        new_key=new_key,
        spec=spec,
        stages=stages,
        invocations=invocations,
    )


class PipeInvocation(Invocation):
    """The calls of one pipe.

    :param spec: the pipe's specification: the parameters of its first stage, the result of its
        last.
    :param stages: its stages.
    :param invocations: the invocations of its client.
    """

    __slots__ = ("invocations", "spec", "stages")

    is_pipe = True

    def __init__(
        self,
        *args: Any,
        spec: MethodSpec,
        stages: list[RemoteMethod],
        invocations: Invocations,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.spec = spec
        self.stages = stages
        self.invocations = invocations


def _spec_of_all(specs: tuple[MethodSpec, ...]) -> MethodSpec:
    """The specification of a pipe, as if it were one method."""
    service, _, name = "|".join(spec.key for spec in specs).rpartition(".")
    idempotent = all(spec.idempotent for spec in specs)
    return structs.replace(
        specs[0],
        service=service,
        name=name,
        doc=f"The pipe {' -> '.join(spec.key for spec in specs)}.",
        result=specs[-1].result,
        timeout=min(sum(spec.timeout for spec in specs), MAX_TIMEOUT),
        idempotent=idempotent,
        once=not idempotent and all(map(_is_repeatable, specs)),
        raises={},
        retry=None,
        hedge=None,
    )


def _is_repeatable(spec: MethodSpec) -> bool:
    """Whether a second request for a stage does no harm."""
    return spec.idempotent or spec.once


@lru_cache(maxsize=1024)
def _taking(before: MethodSpec, spec: MethodSpec, content_type: str) -> str:
    """The first parameter of a method, which takes the result of the stage before.

    :raises ContractError: if it cannot take it.
    """
    arguments = method_schema(spec)["arguments"]
    names = spec.parameters.__struct_fields__
    if not names:
        raise ContractError(
            f"{spec.key} takes no argument: it can only be the first stage of a pipe"
        )
    first = names[0]
    others = [name for name in arguments.get("required", ()) if name != first]
    if others:
        raise ContractError(
            f"{spec.key} needs {', '.join(map(repr, others))} as well: a stage after the first one"
            " gets one argument, and its other parameters have defaults"
        )
    taken = {**arguments["properties"][first], "$defs": arguments.get("$defs", {})}
    why = misfit(method_schema(before)["result"], taken)
    if why:
        raise ContractError(f"{before.key} does not give what {spec.key} takes as {first!r}: {why}")
    try:
        argument_codec(first, content_type, before.result)
    except ContractError as error:
        raise ContractError(
            f"the result of {before.key} cannot travel to {spec.key}: {error}"
        ) from error
    return first


def _check_priority(spec: MethodSpec, options: CallOptions) -> None:
    if options.priority is not None and options.priority > spec.queue.max_priority:
        raise InvalidArgument(
            f"priority {options.priority} is more than the {spec.queue.max_priority} of the first"
            " stage of the pipe",
            method=spec.key,
        )
