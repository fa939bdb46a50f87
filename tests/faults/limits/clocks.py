"""The wall clock is set while a gateway serves and over its restarts, and clocks change between summer and winter.

A day's budget of three requests tells when a period begins.
"""

import asyncio
import datetime
from pathlib import Path

import house

DAY = 86_400
LIMITS = house.limit("daily", 'requests = "3 per day"')


class Clock:
    """The wall clock of the processes of a gateway."""

    def __init__(self, gateway):
        self.file = gateway.folder / "clock"
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        self.environment = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
        }
        self.ahead(0)

    def ahead(self, seconds):
        """Sets it to so many seconds ahead of the machine's."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}")
        new.rename(self.file)

    def show(self, moment):
        """Sets it to a moment."""
        self.ahead((moment - datetime.datetime.now(datetime.UTC)).total_seconds())


async def served(gateway, most):
    """How many requests are served until one is refused, of so many."""
    for number in range(most):
        response = await gateway.ask()
        if response.status != 200:
            assert (response.status, response.code) == (429, "requests_limit"), response
            return number
    return most


async def restart(gateway, clock, seconds):
    await gateway.stop()
    clock.ahead(seconds)
    await gateway.start(environment=clock.environment)


def periods(gateway):
    """The periods that the ledger has of the budget: the start and the end of each, and what was used."""
    sql = "SELECT start, ends, sum(used) FROM account JOIN share ON account.id = account WHERE name = 'daily' GROUP BY account.id ORDER BY start"
    return gateway.query(sql)


STEPS = (DAY, 40 * DAY, 0, -DAY, 400 * DAY, 0)


async def test_a_clock_that_is_set_while_a_gateway_serves_refills_nothing_and_locks_nobody_out(keygate, long):
    provider = await house.Provider().start()
    with house.Gateway(keygate, provider, LIMITS) as gateway:
        clock = Clock(gateway)
        # The middle of a day, so that no midnight is near.
        noon = datetime.datetime.now(datetime.UTC).replace(hour=12)
        base = (noon - datetime.datetime.now(datetime.UTC)).total_seconds()
        clock.ahead(base)
        await gateway.start(environment=clock.environment)
        assert await served(gateway, 9) == 3
        for step in STEPS * (20 if long else 1):
            clock.ahead(base + step)
            for _ in range(4):
                assert await served(gateway, 1) == 0, f"a refill at {step} s"
                await asyncio.sleep(0.3)
        await gateway.stop()
        assert [used for _, _, used in periods(gateway)] == [3], periods(gateway)
    provider = await house.Provider().start()
    with house.Gateway(keygate, provider, house.limit("daily", 'requests = "900 per day"')) as gateway:
        clock = Clock(gateway)
        clock.ahead(base)
        await gateway.start(environment=clock.environment)
        for step in STEPS:
            clock.ahead(base + step)
            for _ in range(4):
                assert await served(gateway, 2) == 2, f"locked out at {step} s"
                await asyncio.sleep(0.3)
        await gateway.stop()
        assert [used for _, _, used in periods(gateway)] == [8 * len(STEPS)], periods(gateway)


async def test_a_clock_that_is_wrong_over_a_restart_opens_no_period_twice(keygate, long):
    provider = await house.Provider().start()
    limits = LIMITS + house.limit("rate", 'requests = "50 per hour"')
    with house.Gateway(keygate, provider, limits) as gateway:
        clock = Clock(gateway)
        await gateway.start(environment=clock.environment)
        assert await served(gateway, 9) == 3
        for step, expected in [(DAY, 3), (0, 0), (DAY, 0), (40 * DAY, 3), (-DAY, 3), (0, 0), (40 * DAY, 0), (-DAY, 0), (2 * DAY, 3), (0, 0)]:
            await restart(gateway, clock, step)
            assert await served(gateway, 9) == expected, f"a restart at {step} s"
        await gateway.stop()
        assert [used for _, _, used in periods(gateway)] == [3] * 5, periods(gateway)
        # Each start with a clock that had been ahead before says so.
        assert gateway.events().count("the clock is behind the last entry of the ledger") == 4, gateway.events()


async def test_a_rate_that_is_used_up_is_whole_again_in_two_windows_whatever_the_clock_showed(keygate, long):
    provider = await house.Provider().start()
    with house.Gateway(keygate, provider, house.limit("rate", 'requests = "3 per hour"')) as gateway:
        clock = Clock(gateway)
        clock.ahead(40 * DAY)
        await gateway.start(environment=clock.environment)
        assert await served(gateway, 9) == 3
        await restart(gateway, clock, 0)
        refused = await gateway.ask()
        assert refused.status == 429 and int(refused.header("retry-after")) <= 7200, refused


# Moments at which a day begins, and moments at which a wrong calendar begins one.
MIDNIGHTS = [
    ("UTC", "2026-12-31T00:00:00", True),
    ("Europe/Berlin", "2026-10-24T22:00:00", True),
    # This day has 25 hours.
    ("Europe/Berlin", "2026-10-25T22:00:00", False),
    ("Europe/Berlin", "2026-10-25T23:00:00", True),
    ("Europe/Berlin", "2026-10-25T00:00:00", False),
    # The clock goes back from 3 to 2, and reaches 3 again.
    ("Europe/Berlin", "2026-10-25T01:00:00", False),
    ("Europe/Berlin", "2026-10-25T02:00:00", False),
    # This one has 23.
    ("Europe/Berlin", "2027-03-28T01:00:00", False),
    ("Europe/Berlin", "2027-03-28T22:00:00", True),
    ("Europe/Berlin", "2027-03-28T23:00:00", False),
    # A day that has no midnight.
    ("America/Santiago", "2026-09-06T04:00:00", True),
]


async def test_days_begin_at_their_midnight_once_also_where_clocks_change(keygate, long):
    async def check(zone, text, begins):
        provider = await house.Provider().start()
        with house.Gateway(keygate, provider, LIMITS, top=f'timezone = "{zone}"') as gateway:
            clock = Clock(gateway)
            moment = datetime.datetime.fromisoformat(text + "+00:00")
            clock.show(moment - datetime.timedelta(seconds=90))
            await gateway.start(environment=clock.environment)
            assert await served(gateway, 9) == 3, (zone, text)
            # The clock may be corrected by some minutes while a gateway serves.
            clock.show(moment - datetime.timedelta(seconds=1.5))
            assert await served(gateway, 9) == 0, f"{zone} {text}: too early"
            await asyncio.sleep(2)
            assert await served(gateway, 9) == (3 if begins else 0), (zone, text)
            # A clock that is corrected back over midnight opens nothing again.
            clock.show(moment - datetime.timedelta(seconds=60))
            assert await served(gateway, 9) == 0, f"{zone} {text}: twice"
            await gateway.stop()
            clock.show(moment - datetime.timedelta(seconds=60))
            await gateway.start(environment=clock.environment)
            assert await served(gateway, 9) == 0, f"{zone} {text}: again after a restart"
            await gateway.stop()
            found = periods(gateway)
            assert [used for _, _, used in found] == [3] * (1 + begins), (zone, text, found)
            micros = int(moment.timestamp()) * 1_000_000
            assert not begins or found[0][1] == found[1][0] == micros, (zone, text, found)

    chosen = MIDNIGHTS if long else MIDNIGHTS[1:4]
    await asyncio.gather(*(check(*midnight) for midnight in chosen))
    return f"{len(chosen)} moments"
