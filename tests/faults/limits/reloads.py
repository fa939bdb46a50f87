"""Reloads that change amounts under load lose no usage."""

import asyncio
import random

import house


def limits(round):
    """Amounts that change with each round, and one limit that comes and goes."""
    money = house.budget((1000 + round % 7) * house.BILLION, f'reserve = "{("estimate", "max", "none")[round % 3]}"')
    tokens = house.limit("output", f'output_tokens = "{100 + round % 5}M per month"\nparallel = {20 + round % 3}')
    count = house.limit("count", f'requests = ["{1 + round % 2}M per month", "{60 + round % 9}M per minute"]')
    more = house.limit("more", 'requests = "9 per second"\nburst = "1h"\nmode = "observe"') if round % 2 else ""
    return money + tokens + count + more


async def test_reloads_that_change_amounts_under_load_lose_no_usage(keygate, long):
    provider = await house.Provider().start()
    rounds = 1000 if long else 30
    with house.Gateway(keygate, provider, limits(0)) as gateway:
        await gateway.start()
        asked = lambda number: {"max_tokens": random.randint(0, 9), "input": random.randint(1, 9), "stream": number % 2 == 0, "pause": 0.003}
        load = house.Load(gateway, 8, asked)
        for round in range(1, rounds + 1):
            await gateway.reload(limits(round))
            await asyncio.sleep(random.random() * 0.05)
        await load.end()
        assert set(load.statuses) == {200}, (load.statuses, load.codes)
        bill = provider.bill
        expected = [bill.cost, bill.output, bill.requests]
        ledger = lambda: [gateway.used(name) for name in ("money", "output", "count")]
        await gateway.until(lambda: ledger() == expected, f"has {expected}, has {ledger()}", 5)
        await gateway.stop()
        assert ledger() == expected
        assert [gateway.sums(name)[0] for name in ("money", "output", "count")] == expected
        return f"{rounds} reloads, {bill.requests} requests"
