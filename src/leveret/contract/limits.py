"""Checks names and options against what AMQP, RabbitMQ and the wire protocol allow."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from leveret.annotations import Hook, free_variables
from leveret.codec import buffered_in, check_type, normal_content_type
from leveret.contract.hooks import check_hooks_in
from leveret.contract.specification import QueueOptions
from leveret.errors import ContractError, DeclaredError, hold_in
from leveret.given_numbers import is_number, is_whole

__all__ = [
    "check_attribute",
    "check_method_name",
    "check_service_name",
    "check_version",
    "content_type",
    "errors_by_code",
    "flag",
    "keep_failed",
    "one_way",
    "queue_options",
    "service_metadata",
    "timeout",
]

MAX_SECONDS: Final = 4_294_967
"""Seconds, about 49 days: AMQP and RabbitMQ have times as milliseconds in 32 bits."""

MAX_VERSION: Final = 64
"""Characters of a service's version."""
MAX_METADATA: Final = 32
"""How many entries the metadata of a service has."""
MAX_NAME_BYTES: Final = 255
"""Bytes of AMQP's short strings, as queue names and routing keys are (AMQP 0-9-1, section
4.2.5.3)."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_SERVICES: Final = frozenset({"all"})
_RESERVED_METHODS: Final = frozenset({"with_options"})


def check_service_name(name: object, where: str) -> None:
    """Refuse a service name that cannot be part of a routing key.

    :raises ContractError: for such a name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ContractError(
            f"{where}: the service name {name!r} must be ASCII letters, digits and underscores,"
            ' and begin with no digit; choose another with `class ...(Service, name="...")`'
        )
    if name in _RESERVED_SERVICES:
        raise ContractError(
            f"{where}: the service name {name!r} addresses every server; choose another with "
            '`class ...(Service, name="...")`'
        )
    if len(name) > MAX_NAME_BYTES - len("leveret..x"):
        raise ContractError(f"{where}: the service name {name!r} is too long; shorten it")


def check_version(version: object, where: str) -> None:
    """Refuse a version that is not a short text.

    :raises ContractError: for such a version.
    """
    if not isinstance(version, str) or not 0 < len(version) <= MAX_VERSION:
        raise ContractError(
            f"{where}: version must be a text of 1 to {MAX_VERSION} characters, as in"
            f' version="1.4.2"; got {version!r}'
        )


def service_metadata(metadata: object, where: str) -> dict[str, str]:
    """Check and return the metadata of a class.

    :raises ContractError: if it is not.
    """
    is_text = isinstance(metadata, Mapping) and all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    )
    if not isinstance(metadata, Mapping) or not is_text or len(metadata) > MAX_METADATA:
        raise ContractError(
            f"{where}: metadata must map up to {MAX_METADATA} texts to texts, as in"
            f' metadata={{"team": "stock"}}; got {metadata!r}'
        )
    return dict(metadata)


def check_attribute(attribute: str, where: str) -> None:
    """Refuse a remote method whose name in Python a typed remote could not offer.

    :raises ContractError: for such a name.
    """
    if attribute.startswith("_"):
        raise ContractError(f"{where}: a remote method is public; rename it without the leading _")
    if attribute in _RESERVED_METHODS:
        raise ContractError(f"{where}: {attribute!r} is Leveret's own; rename the method")


def check_method_name(service: str, name: object, where: str) -> None:
    """Refuse a method name that cannot be part of a routing key and a queue's name.

    :raises ContractError: for such a name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("_"):
        raise ContractError(
            f"{where}: the method name {name!r} must be ASCII letters, digits and underscores, and "
            "begin with a letter"
        )
    if name in _RESERVED_METHODS:
        raise ContractError(f"{where}: the method name {name!r} is Leveret's own; choose another")
    size = len(f"leveret.{service}.{name}")
    if size > MAX_NAME_BYTES:
        raise ContractError(
            f"{where}: the queue's name leveret.{service}.{name} would be {size} bytes, and AMQP "
            f"allows {MAX_NAME_BYTES}; shorten it"
        )


def timeout(value: object, where: str) -> float:
    """Return the timeout in seconds.

    :raises ContractError: when it is not above 0 and at most 4,294,967 s.
    """
    if not is_number(value) or not 0 < value <= MAX_SECONDS:
        raise ContractError(
            f"{where}: timeout is {value!r}; it is in seconds, above 0 and at most {MAX_SECONDS}"
        )
    return float(value)


def flag(name: str, value: object, where: str) -> bool:
    """Return an option that is on or off.

    :raises ContractError: when it is not a bool.
    """
    if not isinstance(value, bool):
        raise ContractError(f"{where}: {name} is {value!r}; write True or False")
    return value


def one_way(options: Mapping[str, Any], result: object, where: str) -> bool:
    """Return whether the method is one-way.

    :param result: the annotation of what it returns.
    :raises ContractError: when it returns something, or has `hedge=`, which makes no sense for it.
    """
    if not flag("one_way", options["one_way"], where):
        return False
    if result is not None and result is not type(None):
        raise ContractError(
            f"{where}: a one-way method has no reply, so it returns nothing: annotate it `-> None`,"
            " or drop one_way=True and send it with rabbit.send"
        )
    if options["hedge"]:
        raise ContractError(f"{where}: nobody waits for a one-way request, so drop hedge=")
    return True


def keep_failed(value: object, service: str, name: str, where: str) -> bool:
    """Return whether one-way requests that failed are kept.

    :raises ContractError: when the name of their queue is too long.
    """
    kept = flag("keep_failed", value, where)
    queue = f"leveret.{service}.{name}.failed"
    if kept and len(queue) > MAX_NAME_BYTES:
        raise ContractError(
            f"{where}: the name of the queue of failed requests, {queue}, would be {len(queue)}"
            f" bytes, and AMQP allows {MAX_NAME_BYTES}; shorten it"
        )
    return kept


def content_type(value: object, where: str) -> str:
    """Return the content type, spelled as `leveret.codec` does.

    :raises ContractError: for one that Leveret does not speak.
    """
    if not isinstance(value, str):
        raise ContractError(f'{where}: content_type is {value!r}; write "application/json"')
    try:
        return normal_content_type(value)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from error


def queue_options(options: Mapping[str, Any], where: str) -> QueueOptions:
    """Return the arguments of the request queue.

    :raises ContractError: for a combination that RabbitMQ refuses.
    """
    queue, expires, length = options["queue"], options["expires"], options["max_length"]
    if queue not in ("classic", "quorum"):
        raise ContractError(f'{where}: queue is {queue!r}; write "classic" or "quorum"')
    levels = _integer("priority_levels", options["priority_levels"], 0, 255, where)
    if levels and queue == "quorum":
        # https://www.rabbitmq.com/docs/quorum-queues: x-max-priority is refused when declaring.
        raise ContractError(
            f"{where}: quorum queues take no priority_levels; drop them, or use classic queues"
        )
    if length is not None:
        length = _integer("max_length", length, 1, 2**63 - 1, where)
    if expires is not None and not (is_number(expires) and 0.001 <= expires <= MAX_SECONDS):
        raise ContractError(
            f"{where}: expires is {expires!r}; it is in seconds, 0.001 to {MAX_SECONDS}, or None"
        )
    return QueueOptions(type=queue, max_length=length, expires=expires, max_priority=levels)


def errors_by_code(
    raises: Any, hooks: Collection[Hook[Any]], where: str
) -> Mapping[str, type[DeclaredError]]:
    """Return the declared errors by code, with the hooks of their service applied to their fields.

    :raises ContractError: when one is not a subclass of `DeclaredError`, or two share a code.
    """
    if not isinstance(raises, Collection) or isinstance(raises, str):
        raise ContractError(f"{where}: raises is {raises!r}; write a list, `raises=[OutOfStock]`")
    by_code: dict[str, type[DeclaredError]] = {}
    taken: dict[str, type[DeclaredError]] = {}
    for error in raises:
        if (
            not isinstance(error, type)
            or not issubclass(error, DeclaredError)
            or error is DeclaredError
        ):
            raise ContractError(
                f"{where}: raises has {error!r}, which is not a subclass of DeclaredError; "
                "what else a handler raises reaches the caller as RemoteError by itself"
            )
        _check_fields(error, hooks, where)
        for code in (error.code, error.__sent_code__):
            other = taken.setdefault(code, error)
            if other is not error:
                raise ContractError(
                    f"{where}: raises has {other.__qualname__} and {error.__qualname__}, both with "
                    f"the code {code}; give one of them another with code=..."
                )
        by_code[error.code] = error
    return MappingProxyType(by_code)


def _check_fields(error: type[DeclaredError], hooks: Collection[Hook[Any]], where: str) -> None:
    try:
        hold_in(error, hooks)
    except TypeError as problem:
        raise ContractError(f"{where}: raises has {problem}") from problem
    for field in msgspec.structs.fields(error.fields):
        what = f"{where}: raises has {error.__qualname__}, whose field {field.name!r}"
        try:
            open_ = free_variables(field.type)
            check_hooks_in(field.type)
            check_type(field.type)
            if buffered_in(field.type):
                raise ContractError("the body of an error is JSON, which has no arrays and tables")
        except TypeError as problem:
            raise ContractError(f"{what} cannot travel: {problem}") from problem
        if open_:
            raise ContractError(
                f"{what} has the type variable {open_[0]}; derive a class that says what it is, "
                f"as in `class NoItem({error.__name__}[Item])`"
            )


def _integer(option: str, value: object, least: int, most: int, where: str) -> int:
    if not is_whole(value) or not least <= value <= most:
        raise ContractError(f"{where}: {option} is {value!r}; it is {least} to {most}")
    return value
