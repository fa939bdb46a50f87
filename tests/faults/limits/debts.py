"""With estimates, a budget is exceeded by what requests in flight used beyond their estimate, and that debt is paid."""

import asyncio

import house

CLIENTS = 12
BUDGET = 4_000_000


async def settled(gateway, provider):
    """Waits until the ledger has what the provider has billed."""
    await gateway.until(lambda: gateway.used("money") == provider.bill.cost, f"agrees with {provider.bill}, {gateway.sums('money')}")


async def test_what_is_spent_beyond_a_budget_is_at_most_what_requests_in_flight_used_beyond_their_estimate(keygate, long):
    said = []
    for reserve in ("estimate", "none") * (50 if long else 1):
        provider = await house.Provider().start()
        with house.Gateway(keygate, provider, house.budget(BUDGET, f'reserve = "{reserve}"')) as gateway:
            await gateway.start()
            # Small ones first, from which the gateway learns; then each uses much more than the estimate.
            for _ in range(10):
                assert (await gateway.ask(max_tokens=2)).status == 200
            large = {"max_tokens": 40, "input": 100, "pause": 0.1}
            cost = 40 * house.OUTPUT + 100 * house.INPUT
            load = house.Load(gateway, CLIENTS, lambda number: large)
            await gateway.until(lambda: load.statuses[402] > CLIENTS * 2, "refuses")
            await load.end()
            await settled(gateway, provider)
            spent = provider.bill.cost
            assert BUDGET - cost < spent <= BUDGET + CLIENTS * cost, (reserve, spent)
            assert set(load.codes) == {"budget_exceeded"}, load.codes
            # The debt stays until the period ends: over a pause, a restart, and for the smallest request.
            for _ in range(3):
                refused = await gateway.ask(max_tokens=0, input=0)
                assert (refused.status, refused.code) == (402, "budget_exceeded"), refused
            await gateway.stop()
            await gateway.start()
            refused = await gateway.ask(max_tokens=0, input=0)
            assert refused.status == 402, refused
            assert gateway.used("money") == spent, (gateway.used("money"), spent)
            said.append(f"{reserve}: {spent / BUDGET:.0%}")
            await gateway.stop()
    return ", ".join(said[:2])


async def test_debt_of_a_gateway_that_is_killed_is_remembered_after_a_tenth_of_a_second(keygate, long):
    for _ in range(50 if long else 3):
        provider = await house.Provider().start()
        with house.Gateway(keygate, provider, house.budget(BUDGET, 'reserve = "none"')) as gateway:
            await gateway.start()
            assert (await gateway.ask(max_tokens=1000)).status == 200
            await asyncio.sleep(0.15)
            await gateway.kill()
            assert gateway.sums("money")[0] >= provider.bill.cost, (gateway.sums("money"), provider.bill)
            await gateway.start()
            assert (await gateway.ask(max_tokens=1)).status == 402
