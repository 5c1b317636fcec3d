"""Arguments as they are written on the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from leveret.cli.arguments import BadArgument, arguments_of, pairs_of


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=30", 30),
        ("x=-1.5e3", -1500.0),
        ("x=true", True),
        ("x=null", None),
        ("x=[1, 2]", [1, 2]),
        ('x={"a": 1}', {"a": 1}),
        ('x="30"', "30"),
        ("x=Ann", "Ann"),
        ("x=007", "007"),
        ("x=NaN", "NaN"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=[1,", "[1,"),
        ("x=\udcff", "\udcff"),
    ],
)
def test_a_value_is_json_where_it_reads_as_json_and_else_text(word: str, value: object) -> None:
    assert arguments_of([word], None) == {"x": value}


def test_words_and_the_json_object_are_put_together() -> None:
    assert arguments_of(["a=1"], '{"b": 2}') == {"a": 1, "b": 2}


def test_a_dash_reads_the_json_object_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO('{"n": "é"}\n'.encode()), encoding="latin-1")
    monkeypatch.setattr("sys.stdin", stdin)
    assert arguments_of([], "-") == {"n": "é"}, "JSON is UTF-8, also where text is not"


def test_an_at_sign_reads_the_json_object_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arguments.json"
    file.write_text('{"n": 30}')
    assert arguments_of(["m=1"], f"@{file}") == {"n": 30, "m": 1}
    with pytest.raises(BadArgument, match="cannot be read"):
        arguments_of([], f"@{tmp_path}/nothing")


@pytest.mark.parametrize("word", ["30", "=30", ""])
def test_a_word_without_a_name_is_refused(word: str) -> None:
    with pytest.raises(BadArgument, match="not in the form name=value"):
        pairs_of([word])


@pytest.mark.parametrize(("words", "whole"), [(["n=1", "n=2"], None), (["n=1"], '{"n": 2}')])
def test_a_name_given_twice_is_refused(words: list[str], whole: str | None) -> None:
    with pytest.raises(BadArgument, match="'n' is given twice"):
        arguments_of(words, whole)


@pytest.mark.parametrize("whole", ["", "{", "[1]", "30", "null"])
def test_what_is_no_json_object_is_refused(whole: str) -> None:
    with pytest.raises(BadArgument, match="--arguments takes one JSON object"):
        arguments_of([], whole)
