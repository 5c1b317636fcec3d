"""What a service class says of itself to those who look at its servers: version and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from leveret import ContractError, Service, method, service_schema
from leveret.contract import spec_of


class Shop(Service, version="1.4.2", metadata={"team": "stock"}):
    @method
    async def order(self) -> None: ...


class Plain(Service):
    @method
    async def order(self) -> None: ...


def test_both_are_told_and_a_subclass_has_those_of_its_base() -> None:
    class Better(Shop, name="shop"):
        """It says nothing of its own."""

    class Best(Shop, name="shop", version="2.0"):
        """It has another version."""

    for service in (Shop, Better):
        assert spec_of(service).version == "1.4.2"
        assert dict(spec_of(service).metadata) == {"team": "stock"}
    assert spec_of(Best).version == "2.0"
    assert service_schema(Shop)["version"] == "1.4.2"
    assert (spec_of(Plain).version, dict(spec_of(Plain).metadata)) == ("", {})
    assert "version" not in service_schema(Plain)


@pytest.mark.parametrize("version", ["", 1.4, "v" * 65, b"1"])
def test_a_version_is_a_short_text(version: Any) -> None:
    with pytest.raises(ContractError, match="version must be a text"):

        class Wrong(Service, version=version):
            """Never made."""


@pytest.mark.parametrize(
    "metadata", [7, "team", {"team": 7}, {7: "team"}, {str(n): "x" for n in range(33)}]
)
def test_metadata_maps_some_texts_to_texts(metadata: Any) -> None:
    with pytest.raises(ContractError, match="metadata must map"):

        class Wrong(Service, metadata=metadata):
            """Never made."""
