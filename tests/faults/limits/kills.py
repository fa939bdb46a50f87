"""A gateway that is killed under load remembers what was spent."""

import asyncio
import random
import time

import house

CLIENTS = 8
# A chunk is 2 % of an amount at most for what was missing, or a second of spending at the pace of the latest 50 ms. That
# is up to three times the pace of a whole round, which has its start in it.
PART = 50
SECONDS = 3


async def test_a_gateway_that_is_killed_at_any_moment_remembers_what_was_billed_and_a_chunk_more_at_most(keygate, long):
    provider = await house.Provider().start()
    # What all rounds spend, and what each kill counts beyond that, is less.
    amount = (5000 if long else 200) * house.BILLION
    limits = house.budget(amount, 'reserve = "max"') + house.limit("count", 'requests = "100000000 per month"')
    with house.Gateway(keygate, provider, limits) as gateway:
        over = most = 0
        for _ in range(1000 if long else 20):
            await gateway.start()
            before, requests_before = gateway.used("money"), gateway.used("count")
            cost, requests = provider.bill.cost, provider.bill.requests
            asked = lambda number: {"max_tokens": random.randint(1, 30), "stream": number % 2 == 0}
            load, begun = house.Load(gateway, CLIENTS, asked), time.monotonic()
            await asyncio.sleep(random.random() * random.choice((0.1, 0.5, 1.0)))
            await gateway.kill()
            took = time.monotonic() - begun
            await load.end()
            assert not load.codes, load.codes
            # Before the next process: what it will count. Those that were killed count with what they were issued.
            issued = gateway.sums("money")[0], gateway.sums("count")[0]
            billed, received = provider.bill.cost - cost, provider.bill.requests - requests
            remembered, counted = issued[0] - before, issued[1] - requests_before
            assert billed <= remembered, f"forgotten: {billed - remembered} of {billed}"
            assert received <= counted, f"forgotten: {received - counted} requests of {received}"
            # Requests in flight hold the most that they can use: the bytes of their bodies and their output.
            in_flight = CLIENTS * (4_000 * house.INPUT + 30 * house.OUTPUT)
            chunk = max(amount // PART, SECONDS * billed / took)
            assert remembered - billed <= chunk + in_flight, (remembered, billed, took)
            over, most = over + remembered - billed, max(most, remembered - billed)
        await gateway.start()
        assert gateway.used("money") == issued[0], "the next process counts something else"
        assert (await gateway.ask(max_tokens=1)).status == 200
        assert gateway.used("money") >= issued[0], (gateway.used("money"), issued)
        return f"{provider.bill.requests} requests; too much was remembered by {over / amount:.1%} of the budget in all, {most / amount:.2%} at most"
