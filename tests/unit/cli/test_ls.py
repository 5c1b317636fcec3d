"""`leveret ls`: servers by service, version and contract."""

from __future__ import annotations

import pytest

from leveret.cli.commands.ls import kinds, matching
from leveret.client.survey import Survey
from leveret.errors import NoServer
from leveret.wire.stats import Process, ServerIdentity


def server(service: str, version: str, contract: str, host: str = "a") -> ServerIdentity:
    return ServerIdentity(
        name=f"{host}:1",
        services=[service, "also"],
        versions={service: version},
        hashes={service: contract} if contract else {},
        process=Process(host=host),
    )


def test_a_service_whose_contracts_differ_is_marked() -> None:
    found = kinds(
        [
            server("shop", "2", "bb"),
            server("shop", "1", "aa", "b"),
            server("shop", "1", "aa"),
            server("till", "1", "cc"),
            server("till", "2", "cc"),
        ],
        "*[!o]p*",
    )
    assert found == []
    shops = kinds([server("shop", "2", "bb"), server("shop", "1", "aa", "b")] * 2, "shop")
    assert [(one.version, one.hash, one.differs, len(one.servers)) for one in shops] == [
        ("1", "aa", True, 2),
        ("2", "bb", True, 2),
    ]
    assert shops[0].hosts == {"b": 2}
    tills = kinds([server("till", "1", "cc"), server("till", "2", "cc")], "t*")
    assert [(one.version, one.differs) for one in tills] == [("1", False), ("2", False)]
    old = kinds([server("shop", "", ""), server("shop", "1", "aa")], "shop")
    assert not any(one.differs for one in old)  # one of before this was told says nothing


def test_a_pattern_of_nobody_is_an_error_where_all_have_answered() -> None:
    shop, till = server("shop", "1", "aa"), server("till", "1", "bb")
    seen = Survey(servers=[shop, till], missing={})
    assert matching(seen, "sh*").servers == [shop]
    with pytest.raises(NoServer, match=r"no service is named 'shp'\. Did you mean 'shop'\?"):
        matching(seen, "shp")
    with pytest.raises(NoServer, match="no service is named 'x\\*', nor any other"):
        matching(Survey(servers=[], missing={}), "x*")


def test_who_did_not_answer_may_be_of_the_pattern() -> None:
    seen = Survey(servers=[server("shop", "1", "aa")], missing={"shop": 1, "post": 2})
    assert matching(seen, "shop").missing == {"shop": 1}
    nothing = matching(seen, "till")
    assert (nothing.servers, nothing.missing) == ([], {"shop": 1, "post": 2})
