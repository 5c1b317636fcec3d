"""The options of calls: what type checkers are told is what there is."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import get_type_hints

import pytest

from leveret import InvalidArgument, Progress, Service
from leveret.client.options import CallOptions, GivenOptions


def test_every_option_is_typed_for_clients_as_it_is_for_remotes() -> None:
    of_remotes = get_type_hints(Service.with_options)
    of_remotes.pop("return")
    assert get_type_hints(GivenOptions) == of_remotes
    assert list(of_remotes) == list(CallOptions.__struct_fields__)


def test_on_progress_is_a_plain_function() -> None:
    async def waits(_progress: Progress) -> None: ...

    assert CallOptions().merged({"on_progress": print}).on_progress is print
    for wrong in (waits, "print"):
        with pytest.raises(InvalidArgument, match="takes a plain function"):
            CallOptions().merged({"on_progress": wrong})


def test_metadata_is_any_mapping_of_text_to_text() -> None:
    given = MappingProxyType({"a": "b"})
    for changes in ({"metadata": given}, {"metadata": given, "timeout": 3}):
        metadata = CallOptions().merged(changes).metadata
        assert (metadata, type(metadata)) == ({"a": "b"}, dict)
    for wrong in (MappingProxyType({"a": 1}), [("a", "b")], "ab"):
        with pytest.raises(InvalidArgument, match="metadata must map text to text; got "):
            CallOptions().merged({"metadata": wrong})


def test_the_options_of_a_service_have_none_for_as_before() -> None:
    parameters = list(inspect.signature(Service.with_options).parameters.values())[1:]
    assert {parameter.default for parameter in parameters} == {None}
