"""The smaller examples, each run as its docstring says, on the real broker."""

from __future__ import annotations

import re

from tests.interop.programs import ROOT, run, running

EXAMPLES = ROOT / "examples"


async def test_a_client_that_has_only_the_contract_calls_its_implementation(
    rabbitmq_url: str,
) -> None:
    async with running(EXAMPLES / "contract" / "pricing_server.py", url=rabbitmq_url) as server:
        await server.says("serving pricing")
        said = await run(EXAMPLES / "contract" / "pricing_client.py", url=rabbitmq_url)
        server.process.terminate()
        assert await server.ends() == 0
    assert said.splitlines() == [
        "ten carrots and two bales of hay: 12.90 EUR",
        "no price for a truffle",
    ]


async def test_middleware_of_client_and_server_adds_a_tenant_and_takes_times(
    rabbitmq_url: str,
) -> None:
    timed, greeting, paid, refused = (
        await run(EXAMPLES / "middleware" / "tenants.py", url=rabbitmq_url)
    ).splitlines()
    assert re.fullmatch(r"greeter\.greet\{'name': 'Leveret'\} took [\d.]+ ms", timed)
    assert greeting == "Hello Leveret, from Burrow Ltd"
    assert re.fullmatch(r"of that in the handler: [\d.]+ ms", paid)
    assert refused.startswith("refused: greeter.greet: name a tenant")


async def test_cpu_bound_work_holds_up_no_other_call_and_is_stopped_at_its_deadline(
    rabbitmq_url: str,
) -> None:
    counted, gave_up, after = (
        await run(EXAMPLES / "cpu_bound" / "primes.py", url=rabbitmq_url)
    ).splitlines()
    found = re.fullmatch(r"6057 primes below 60000, and (\d+) pings meanwhile", counted)
    assert found is not None
    assert int(found[1]) > 1
    assert gave_up.startswith("gave up: primes.count_below: the handler did not end")
    assert after == "25 primes below 100"
