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
    """A connection, to servers that say who they are, and nothing else."""

    def __init__(self, *servers: ServerIdentity) -> None:
        self._servers = list(servers)

    async def servers(self, **_: float) -> Survey[ServerIdentity]:
        return Survey(servers=self._servers, missing={})


NOBODY: Survey[ServerIdentity] = Survey(servers=[], missing={})


async def test_nobody_is_an_error_only_where_nobody_is_missing() -> None:
    shop = cast("Any", Others(ServerIdentity(instance="b47af560", services=["shop"])))
    silent: Survey[ServerIdentity] = Survey(servers=[], missing={"shop": 1})
    assert await found(cast("Any", Others()), None, NOBODY) is NOBODY
    assert await found(shop, "shop", silent) is silent
    with pytest.raises(NoServer, match="Did you mean 'shop'"):
        await found(shop, "shp", NOBODY)
    with pytest.raises(NoServer, match="`leveret ping shop` shows those that do"):
        await found(shop, "shop.00000000", NOBODY)


@pytest.mark.parametrize("asked", [None, "shop", "shop.b47af560"])
async def test_who_is_there_and_says_nothing_is_missing(asked: str | None) -> None:
    one = ServerIdentity(instance="b47af560", services=["shop"])
    seen = await found(cast("Any", Others(one)), asked, NOBODY)
    assert (seen.servers, seen.missing) == ([], {"shop": 1})


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
