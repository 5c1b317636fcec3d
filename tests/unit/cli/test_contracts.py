"""The commands that tell of contracts, of classes and files. For servers see tests/behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from leveret import NoServer, Service, method
from leveret.cli import contracts
from leveret.cli.app import app
from leveret.cli.contracts import live_services
from tests.behaviour.cli_service import Desk

DESK = f"{Desk.__module__}:Desk"


class NextDesk(Service, name="desk"):
    """The next version."""

    @method
    async def fib(self, n: int, quick: bool = False) -> int:
        return n


class Depot(Service, name="depot"):
    @method
    async def count(self) -> int:
        return 1


NEXT = f"{__name__}:NextDesk"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def json(*words: str) -> Any:
    return msgspec.json.decode(run(*words).stdout)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVERET_URL", raising=False)
    return tmp_path


# -- diff ------------------------------------------------------------------------------------------


def test_diff_of_a_file_and_a_class_ends_with_1_where_something_breaks(folder: Path) -> None:
    (folder / "desk.json").write_text(run("schema", DESK).stdout)
    same = run("diff", "desk.json", DESK)
    assert (same.stdout, same.exit_code) == ("no difference\n", 0)
    broken = run("diff", "desk.json", NEXT)
    assert broken.exit_code == 1
    said = broken.stdout.splitlines()
    assert "break    desk.fib: it is not idempotent any more" in broken.stdout
    assert "fine     desk.fib: the argument quick is new [argument-added]" in said
    assert said[-1] == "7 breaks, 0 warnings"


def test_diff_has_its_changes_as_json(folder: Path) -> None:
    told = run("diff", DESK, NEXT, "--json")
    assert (told.exit_code, told.stdout.count("\n")) == (1, 1)
    found = msgspec.json.decode(told.stdout)
    assert (found["breaks"], found["warnings"]) == (7, 0)
    assert found["changes"][-1] == {
        "level": "fine",
        "method": "desk.fib",
        "rule": "argument-wider",
        "text": "argument n may be more than it could",
    }


def test_diff_of_a_file_of_several_services_is_of_those_that_the_other_side_has(
    folder: Path,
) -> None:
    desk, depot = json("schema", DESK), {"service": "depot", "methods": {}}
    both = msgspec.json.encode({"services": {"desk": desk, "depot": depot}})
    (folder / "all.json").write_bytes(both)
    (folder / "empty.json").write_bytes(msgspec.json.encode({"services": {}}))
    assert run("diff", "all.json", DESK).stdout == "no difference\n"
    assert run("diff", "all.json", "all.json").stdout == "no difference\n"
    assert "desk.fib: it is new" in run("diff", "empty.json", "all.json").stdout


def test_diff_says_which_side_cannot_be_had(folder: Path) -> None:
    gone = run("diff", "gone.json", DESK)
    assert (gone.exit_code, gone.stdout) == (11, "")
    assert "gone.json cannot be read" in gone.stderr
    (folder / "other.json").write_text("[]")
    other = run("diff", "other.json", DESK, "--json")
    assert other.exit_code == 11
    assert "is not a contract" in msgspec.json.decode(other.stderr)["error"]["message"]


def test_schemas_of_several_classes_are_told_by_name() -> None:
    assert json("schema", DESK, DESK)["service"] == "desk"
    assert json("schema", DESK, f"{__name__}:Depot")["services"].keys() == {"desk", "depot"}


# -- describe, docs, asyncapi ----------------------------------------------------------------------


def test_describe_of_a_class_needs_no_server(folder: Path) -> None:
    whole = run("describe", DESK, "--json")
    found = msgspec.json.decode(whole.stdout)
    assert found["methods"].keys() == Desk.__leveret__.methods.keys()
    assert "servers" not in found
    (folder / "desk.json").write_text(whole.stdout)
    assert run("diff", "desk.json", DESK).stdout == "no difference\n"
    described = run("describe", f"{DESK}.fail").stdout.splitlines()
    assert "raises OutOfStock (OUT_OF_STOCK)" in described
    assert json("describe", f"{DESK}.fail", "--json")["method"] == "fail"


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        (f"{DESK}.fial", 4, "Did you mean 'fail'?"),
        (f"{DESK}.zzz", 4, "there are echo, fail, fib"),
        (f"{DESK}k.fib", 11, "has no 'Deskk'"),
        (f"{Desk.__module__}:Path", 11, "Path"),
        ("gone:Desk", 11, "there is no module 'gone'"),
        ("desk.", 3, "a method is named"),
    ],
)
def test_describe_says_what_is_wrong_with_a_name(target: str, code: int, said: str) -> None:
    ended = run("describe", target)
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_documents_go_to_a_file_or_are_printed(folder: Path) -> None:
    page = run("docs", DESK, "-o", "desk.html")
    assert (page.exit_code, page.stdout) == (0, "")
    assert (folder / "desk.html").read_text().startswith("<!doctype html>")
    assert run("docs", DESK, DESK, "--html").stdout.count('<section class="service">') == 1
    assert "# desk\n" in run("docs", DESK).stdout
    assert json("asyncapi", DESK, "--title", "Desks")["info"]["title"] == "Desks"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("docs",), "give --live"),
        (("asyncapi", DESK, "-o", "no/such/folder.json"), "cannot be written"),
        (("docs", "--live", "--url", ""), "--url is empty"),
        (("docs", "--live", "--url", "embedded://"), "in this process alone"),
    ],
)
def test_documents_need_something_to_tell_of_and_a_place(words: tuple[str, ...], said: str) -> None:
    ended = run(*words)
    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


# -- servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NoServer("nobody"), 5, "NoServer: nobody"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("bug"), 70, "ZeroDivisionError: bug"),
    ],
)
def test_each_error_is_one_line_and_the_exit_code_of_its_kind(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(contracts, "live_services", fail)
    ended = run("diff", "live:desk", DESK)
    assert ended.exit_code == code
    assert said in ended.stderr
    assert live_services is not contracts.live_services


@pytest.mark.parametrize("command", ["describe", "docs", "asyncapi", "schema", "diff"])
def test_the_help_of_each_command_tells_its_exit_codes(command: str) -> None:
    told = run(command, "--help").stdout
    assert "Exit codes:" in told
    assert "11" in told
