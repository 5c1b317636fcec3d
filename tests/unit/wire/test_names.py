"""The ids of calls."""

from __future__ import annotations

from itertools import islice

from leveret.wire.native.names import call_ids


def test_an_id_has_16_characters_and_no_command_line_takes_it_for_an_option() -> None:
    ids = list(islice(call_ids(), 10_000))
    assert {len(call_id) for call_id in ids} == {16}
    assert len(set(ids)) == 10_000
    assert not [call_id for call_id in ids if call_id.startswith("-")]
