"""The signatures and docstrings of a remote's methods, for Python's tools."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from types import GenericAlias
from typing import Any, Protocol

from leveret.annotations import without_hooks
from leveret.contract import MethodSpec


class _HasSpec(Protocol):
    """A method of a remote."""

    _spec: MethodSpec


def signature_of(spec: MethodSpec) -> inspect.Signature:
    """The signature of a method as its callers see it, without `self`."""
    signature = inspect.signature(spec.parameters)
    parameters = [
        parameter.replace(annotation=without_hooks(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    result = without_hooks(spec.result)
    upload = spec.upload
    if upload is not None:
        by_keyword = upload.position is None
        parameter = inspect.Parameter(
            upload.name,
            inspect.Parameter.KEYWORD_ONLY
            if by_keyword
            else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=_iterator_of(without_hooks(upload.item)),
        )
        parameters.insert(
            len(parameters) if upload.position is None else upload.position, parameter
        )
    return signature.replace(
        parameters=parameters,
        return_annotation=_iterator_of(result) if spec.streams else result,
    )


def _iterator_of(item: Any) -> Any:
    return GenericAlias(AsyncIterator, (item,))


class SignatureOfMethod:
    """The signature for `inspect.signature`, made only when it is asked for."""

    def __get__(self, method: _HasSpec | None, owner: type[Any]) -> Any:
        if method is None:
            raise AttributeError("__signature__")  # the class has that of its __init__
        return signature_of(method._spec)  # noqa: SLF001 - a part of it


class DocOfMethod:
    """The docstring for `help`: that of the method, or of the class."""

    def __init__(self, of_class: str | None) -> None:
        self._of_class = of_class

    def __get__(self, method: _HasSpec | None, owner: type[Any]) -> str | None:
        return self._of_class if method is None else method._spec.doc  # noqa: SLF001 - as above
