"""A ledger that cannot be written issues nothing: what is held is spent, then requests are refused until it can be written."""

import asyncio
import contextlib
import subprocess
from pathlib import Path

import house

AMOUNT = 100 * house.BILLION // 1000
# More than is spent in some seconds.
MUCH = 1000 * AMOUNT
UNWRITTEN = "the ledger cannot be written"
FAULTS = [("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fsync,fdatasync", "EIO"), ("fcntl", "EIO")]


def thread(pid, name):
    """The number of the thread of this name."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return next(int(task.name) for task in tasks if (task / "comm").read_text().strip() == name)


class Failing:
    """System calls of the ledger's thread fail meanwhile."""

    def __init__(self, gateway, calls, error):
        number = thread(gateway.pids[-1], "ledger")
        inject = [f"-einject={call}:error={error}" for call in calls.split(",")]
        self.command = ["strace", "-qq", "-o", gateway.folder / "trace", f"-etrace={calls}", *inject, "-p", str(number)]

    def __enter__(self):
        self.strace = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.strace.terminate()
        self.strace.wait()


class Moved:
    """Another program has moved the file away meanwhile."""

    def __init__(self, gateway):
        self.ledger = gateway.ledger

    def __enter__(self):
        self.ledger.rename(self.ledger.with_suffix(".away"))

    def __exit__(self, *_):
        self.ledger.with_suffix(".away").rename(self.ledger)


async def test_a_ledger_that_cannot_be_written_refuses_what_it_does_not_hold_and_recovers(keygate, long):
    said = []
    for round in range(10 if long else 1):
        for calls, error in [*FAULTS, ("the file", "moved")]:
            name = f"{error} of {calls}"
            provider = await house.Provider().start()
            with house.Gateway(keygate, provider, house.budget(AMOUNT, 'reserve = "estimate"')) as gateway:
                await gateway.start()
                load = house.Load(gateway, 4, lambda number: {"pause": 0.01})
                await gateway.until(lambda: load.statuses[200] > 50, "serves")
                assert not load.codes, load.codes
                fault = Moved(gateway) if error == "moved" else Failing(gateway, calls, error)
                with fault:
                    await gateway.until(lambda: UNWRITTEN in gateway.events() or load.codes, f"notices {name}", 20)
                    held = load.statuses[200]
                    await gateway.until(lambda: load.statuses[503] > 20, f"refuses after {name}", 30)
                    # Locks that cannot be taken are waited for before that is an error.
                    await gateway.until(lambda: UNWRITTEN in gateway.events(), f"logs {name}", 20)
                    assert set(load.codes) == {"limits_unavailable"}, (name, load.codes)
                    served = load.statuses[200] - held
                    # A refusal is quick: requests wait for the ledger for a tenth of a second.
                    began = asyncio.get_running_loop().time()
                    refused = await gateway.ask()
                    assert refused.status == 503 and refused.header("retry-after"), refused
                    assert asyncio.get_running_loop().time() - began < 1
                    lines = gateway.events().count(UNWRITTEN)
                    assert 1 <= lines <= 10, f"{name}: {lines} lines of the log"
                before = load.statuses[200]
                await gateway.until(lambda: load.statuses[200] > before + 20, f"recovers from {name}", 20)
                await load.end()
                assert set(load.codes) == {"limits_unavailable"} and not load.cut, (name, load.codes, load.cut)
                await gateway.until(lambda: gateway.used("money") == provider.bill.cost, f"agrees after {name}: {gateway.sums('money')}, {provider.bill}")
                await gateway.kill()
                assert gateway.sums("money")[0] >= provider.bill.cost
                await gateway.start()
                assert (await gateway.ask()).status == 200
                said.append(f"{name}: {served} more served")
    return "; ".join(said[: len(FAULTS) + 1])


async def test_a_gateway_that_is_killed_while_its_ledger_cannot_be_written_has_spent_no_more_than_it_was_issued(keygate, long):
    for _ in range(30 if long else 2):
        provider = await house.Provider().start()
        with house.Gateway(keygate, provider, house.budget(MUCH, 'reserve = "max"')) as gateway:
            await gateway.start()
            load = house.Load(gateway, 4, lambda number: {"max_tokens": 20, "input": 100})
            await asyncio.sleep(0.3)
            with contextlib.ExitStack() as stack:
                stack.enter_context(Failing(gateway, "pwrite64", "EIO"))
                await gateway.until(lambda: load.statuses[503] > 5, "refuses", 20)
                await gateway.kill()
            await load.end()
            issued = gateway.sums("money")[0]
            assert provider.bill.cost <= issued <= MUCH, (provider.bill.cost, issued)
