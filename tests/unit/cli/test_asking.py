"""What commands say that ask servers: who did not answer, and what was meant."""

from __future__ import annotations

from typing import Any, cast

import pytest
import typer

from leveret.cli.asking import (
    check_method,
    found,
    nearest,
    print_survey,
    split_target,
    unanswered,
)
from leveret.client.survey import Survey
from leveret.errors import InvalidArgument, NoServer, Unimplemented
from leveret.wire.stats import ServerIdentity


def test_who_did_not_answer_is_told_by_service() -> None:
    servers = [ServerIdentity(services=["shop", "till"]), ServerIdentity(services=["shop"])]
    seen: Survey[ServerIdentity] = Survey(
        servers=servers, missing={"till": 1, "shop": 3, "post": 2}, uncounted=("bank",)
    )
    assert unanswered(seen, servers) == [
        "not complete: 0 of 2 servers of post answered",
        "not complete: 2 of 5 servers of shop answered",
        "not complete: 1 of 2 servers of till answered",
        (
            "perhaps not complete: 0 servers of bank answered, and the broker did not say how many"
            " there are"
        ),
    ]
    assert unanswered(Survey(servers=servers, missing={}), servers) == []


def test_an_unknown_name_is_answered_by_the_nearest_or_by_what_there_is() -> None:
    assert nearest("shp", ["shop", "till"]) == ". Did you mean 'shop'?"
    assert nearest("zzz", ["shop", "post"]) == "; there are post, shop"
    assert nearest("zzz", []) == ""
    many = [f"service_{number:02}" for number in range(12)]
    assert nearest("zzz", many).endswith("service_09, ...")


def test_a_method_that_is_not_there_is_unimplemented() -> None:
    check_method("shop", "", [])
    check_method("shop", "order", ["shop.order"])
    with pytest.raises(Unimplemented, match="Did you mean 'order'"):
        check_method("shop", "odrer", ["shop.order"])
    with pytest.raises(InvalidArgument):
        check_method(None, "order", ["shop.order"])


def test_a_target_is_a_service_or_a_method() -> None:
    assert split_target(None) == (None, "")
    assert split_target("shop") == ("shop", "")
    assert split_target("shop.order") == ("shop", "order")


class Others:
    """A connection, to others than those who are asked for."""

    async def servers(self, **_: float) -> Survey[ServerIdentity]:
        return Survey(servers=[ServerIdentity(services=["shop"])], missing={})


async def test_nobody_is_an_error_only_where_nobody_is_missing() -> None:
    rabbit = cast("Any", Others())
    nobody: Survey[ServerIdentity] = Survey(servers=[], missing={})
    silent: Survey[ServerIdentity] = Survey(servers=[], missing={"shop": 1})
    assert await found(rabbit, None, nobody) is nobody
    assert await found(rabbit, "shop", silent) is silent
    with pytest.raises(NoServer, match="Did you mean 'shop'"):
        await found(rabbit, "shp", nobody)


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [({}, 0, "leveret: no server answers"), ({"shop": 2}, 7, "leveret: not complete: 0 of 2")],
)
def test_it_is_said_that_nobody_answers_where_nobody_is_missing(
    missing: dict[str, int], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    survey: Survey[ServerIdentity] = Survey(servers=[], missing=missing)
    with pytest.raises(typer.Exit) as ended:
        print_survey(survey, {}, [], as_json=False, identities=[], notes=["and a note"])
    assert ended.value.exit_code == code
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(said)
    assert others == ["leveret: and a note"]
