"""Makes one struct of a signature's parameters. It holds, checks and carries a call's arguments."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from leveret.codec import check_value
from leveret.contract.signature import Parameter, Signature, format_annotation
from leveret.errors import ContractError

__all__ = ["parameters_struct"]


def parameters_struct(
    signature: Signature, name: str, content_type: str, where: str
) -> type[msgspec.Struct]:
    """Make the struct whose fields are the parameters, in their order, with their defaults.

    It is called like the method (`struct(30)`, `struct(n=30)`), and refuses unknown fields when it
    is decoded. Calling it checks no types: encoding and decoding do.

    :raises ContractError: for a default that its annotation forbids, and a name that cannot be a
        field; `where` names the method.
    """
    for parameter in signature.parameters:
        _check_default(parameter, content_type, where)
    positional = [_field(p) for p in signature.parameters if not p.keyword_only]
    keywords = [_field(p) for p in signature.parameters if p.keyword_only]
    try:
        made = msgspec.defstruct(name, positional, forbid_unknown_fields=True)
        if not keywords:
            return made
        return msgspec.defstruct(
            name, keywords, bases=(made,), forbid_unknown_fields=True, kw_only=True
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise ContractError(f"{where}: its parameters cannot travel: {error}") from error


def _check_default(parameter: Parameter, content_type: str, where: str) -> None:
    if not parameter.has_default:
        return
    try:
        check_value(content_type, parameter.annotation, parameter.default)
    except Exception as error:
        # Encoding runs code of the default's own class, so anything can come out of it.
        raise ContractError(
            f"{where}: parameter {parameter.name!r} has the default {parameter.default!r}, which "
            f"does not fit {format_annotation(parameter.annotation)}: {error}"
        ) from error


def _field(parameter: Parameter) -> tuple[str, Any] | tuple[str, Any, Any]:
    if not parameter.has_default:
        return parameter.name, parameter.annotation
    default = parameter.default
    try:
        hash(default)
    except TypeError:
        # A mutable default must not be shared by the calls that leave it out.
        factory = msgspec.field(default_factory=lambda: copy.deepcopy(default))
        return parameter.name, parameter.annotation, factory
    return parameter.name, parameter.annotation, default
