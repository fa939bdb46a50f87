"""Two processes share the rights to a budget."""

import asyncio
import random

import house


def check_served(load):
    """Nothing was refused, but for a few requests that waited too long for a slow disk."""
    few = load.statuses[200] // 100 + 2
    assert set(load.codes) <= {"limits_unavailable"} and load.codes.total() <= few, (load.codes, load.statuses)


async def test_a_budget_that_reserves_the_most_is_not_exceeded_by_two_processes_and_its_last_unit_is_spent(keygate, long):
    """While one hands over to the next, with streams open in both."""
    upgrades = 100 if long else 3
    provider = await house.Provider().start()
    reserved = 12 * (30 * house.OUTPUT + 4_000 * house.INPUT)
    amount = upgrades * 20 * reserved
    limits = lambda amount: house.budget(amount, 'reserve = "max"')
    with house.Gateway(keygate, provider, limits(amount)) as gateway:
        await gateway.start()
        asked = lambda number: {"max_tokens": random.randint(1, 30), "stream": number % 2 == 0, "pause": 0.02 if number % 4 == 0 else 0}
        load = house.Load(gateway, 12, asked)
        for _ in range(upgrades):
            await asyncio.sleep(0.3)
            await gateway.upgrade()
            # Nothing is refused while there is more than what the requests in both processes hold.
            check_served(load) if provider.bill.cost < amount - 2 * reserved else None
        # The rest is spent by two processes as well.
        amount = provider.bill.cost + 4 * reserved
        await gateway.reload(limits(amount))
        await gateway.upgrade()
        await gateway.until(lambda: load.statuses[402] > 100, "spends everything", 120)
        await load.end()
        assert provider.bill.cost <= amount, (provider.bill.cost, amount)
        # Nobody is told that the budget is spent while the old process still holds some of it.
        await gateway.until(lambda: all(map(gateway.is_gone, gateway.pids[:-1])), "ends the old processes", 60)
        assert set(load.codes) <= {"budget_exceeded", "limits_unavailable"} and not load.cut, (load.codes, load.cut)
        # What is left is not enough for the largest request, which reserves the most that it can use.
        while (response := await gateway.ask(max_tokens=30)).status == 200:
            pass
        assert (response.status, response.code) == (402, "budget_exceeded"), response
        assert amount >= provider.bill.cost > amount - reserved // 12, (provider.bill.cost, amount)
        await gateway.stop()
        assert gateway.used("money") == provider.bill.cost, (gateway.sums("money"), provider.bill)
        return f"{upgrades + 1} upgrades, {provider.bill.requests} requests, {provider.bill.cost / amount:.2%} of the budget spent, {load.codes}"


async def test_an_upgrade_of_a_busy_gateway_refuses_nothing_while_there_is_budget_left(keygate, long):
    """The old process spends at full speed; the new one needs rights at once."""
    for number, reserve in enumerate(("max", "estimate", "none")):
        for part in (20, 2, 5) if long else (20, 2, 5)[number : number + 1]:
            provider = await house.Provider().start()
            # So much that a few requests are a large part of what is left.
            amount = part * 1_000_000
            limits = house.budget(amount, f'reserve = "{reserve}"') + house.limit("count", 'requests = "1000000 per day"')
            with house.Gateway(keygate, provider, limits) as gateway:
                await gateway.start()
                asked = lambda number: {"max_tokens": 1, "input": 1, "pause": 0.01}
                load = house.Load(gateway, 4, asked)
                await asyncio.sleep(0.3)
                for _ in range(10 if long else 1):
                    await gateway.upgrade()
                    await asyncio.sleep(0.3)
                spent = provider.bill.cost
                await load.end()
                # Four requests hold the most that each can use: some thousand tokens of input.
                if spent < amount - 4 * 4_000 * house.INPUT - 1:
                    check_served(load)
                for pid in gateway.pids:
                    if house.is_alive(pid):
                        await gateway.stop()
    return ""
