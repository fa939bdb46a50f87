"""The measures of benches/compare. Each returns `Rounds`: a value of each round, by proxy and column."""

import re
import signal
import subprocess
import sys
import time
import traceback

from comparison.gateways import GATEWAYS, WITHOUT_STREAMS
from comparison.machine import OTHER_CORE, PROXY_CORE
from comparison.processes import Watch, family, resident_kib, settled_kib
from comparison.work import name_of

# Two prompts, where seven would take too long.
TWO_SIZES = (300, 60_000)


class Rounds(dict):
    """{proxy: {column: [a value of each round]}}, and what the machine did meanwhile: {proxy: [of each measurement]}."""

    def __init__(self):
        super().__init__()
        self.meanwhile = {}

    def add(self, proxy, watch, **values):
        self.meanwhile.setdefault(proxy, []).append(watch.meanwhile)
        for name, value in values.items():
            self.setdefault(proxy, {}).setdefault(name, []).append(value)


def fast(options):
    return [name for name in options.proxies if name not in GATEWAYS]


def two(options):
    return [size for size in options.sizes if size in TWO_SIZES] or options.sizes[:1]


def closed_loop(machine, options, name, port, size):
    """Sends requests on 32 connections, and returns how many and for how many seconds. Slow gateways get five seconds."""
    seconds = max(options.seconds, 5) if name in GATEWAYS else options.seconds
    done = machine.wrk(port, size, 32, seconds)
    if not done:
        sys.exit(f"{name} responded to no request in {seconds} s")
    return done, seconds


def requests(machine, options, size=300, tls=False):
    """CPU a request, in a closed loop of 32 connections."""
    provider, rounds = machine.provider(tls), Rounds()
    proxies = {name: machine.proxy(name, provider, tls) for name in options.proxies if not (tls and (name in GATEWAYS or name.startswith(("bare", "relay"))))}
    for _, port in proxies.values():
        machine.wrk(port, size, 32, 1)
    for _ in range(options.rounds):
        for name, (child, port) in proxies.items():
            with Watch(child.pid) as watch:
                done, seconds = closed_loop(machine, options, name, port, size)
            # per_core: the rate if the proxy used its whole core, without waiting for the load generator.
            rounds.add(name, watch, cpu_us=watch.cpu / done * 1e6, per_second=done / seconds, per_core=done / watch.cpu)
    machine.stop()
    return rounds


def delays(summary):
    return {at: summary[at] for at in ["p50_us", "p99_us", "p999_us"]}


def paced(machine, options, proxies, warm, load):
    """The delays of each proxy and of no proxy, and CPU a request."""
    provider, rounds = machine.provider(), Rounds()
    ports = {"no proxy": (None, provider)} | {name: machine.proxy(name, provider) for name in proxies}
    for _, port in ports.values():
        warm(port)
    for number in range(options.rounds):
        for name, (child, port) in ports.items():
            with Watch(child and child.pid) as watch:
                summary = load(port, number)
            cpu = {"cpu_us": watch.cpu / summary["count"] * 1e6} if child else {}
            rounds.add(name, watch, **delays(summary), **cpu)
    machine.stop()
    return rounds


def alone(machine, options, size):
    """Latency of requests one after the other on one connection."""
    return paced(
        machine, options, options.proxies,
        lambda port: machine.alone(port, size, 1),
        lambda port, _: machine.alone(port, size, options.seconds),
    )


def latency(machine, options):
    """Latency at a fixed rate, in an open loop."""
    return paced(
        machine, options, fast(options),
        lambda port: machine.at_rate(port, options.rate, 1),
        lambda port, number: machine.at_rate(port, options.rate, options.seconds, number),
    )


def streams(machine, options):
    """CPU and delay of an event, at 5,000 events a second."""
    provider, rounds = machine.streams(), Rounds()
    ports = {"no proxy": (None, provider)} | {name: machine.proxy(name, provider) for name in fast(options)}
    for _ in range(options.rounds):
        for name, (child, port) in ports.items():
            with Watch(child and child.pid) as watch:
                summary = machine.events(port, options.seconds)
            cpu = {"cpu_us": watch.cpu / summary["count"] * 1e6} if child else {}
            rounds.add(name, watch, **cpu, **delays(summary))
    machine.stop()
    return rounds


def kib_each(machine, name, count, hold):
    """The memory that each of `count` held connections adds to a proxy that has served ten already."""
    provider = machine.streams()
    child, port = machine.proxy(name, provider)
    with Watch(child.pid) as watch:
        machine.stop(hold(port, 10))
        before = settled_kib(child.pid)
        held = hold(port, count)
        each = (settled_kib(child.pid) - before) / count
    machine.stop(held)
    machine.stop()
    return watch, each


def memory(machine, options):
    """Memory of an open stream, by the size of its prompt."""
    rounds = Rounds()
    for name in (name for name in options.proxies if name not in WITHOUT_STREAMS):
        for size in options.sizes:
            watch, each = kib_each(machine, name, options.held, lambda port, count: machine.hold(port, count, size))
            rounds.add(name, watch, **{f"kib_at_{name_of(size).replace(' ', '_')}": each})
    return rounds


def many(machine, options):
    """Memory of an open stream of many."""
    rounds = Rounds()
    for name in fast(options):
        watch, each = kib_each(machine, name, options.many, machine.hold)
        rounds.add(name, watch, kib_per_stream=each, streams=options.many)
    return rounds


def slow(machine, options):
    """Memory of a connection whose client does not read a response of 16 MB."""
    rounds = Rounds()
    for name in options.proxies:
        watch, each = kib_each(machine, name, options.stalled, lambda port, count: machine.stall(port, count, 16_000_000))
        rounds.add(name, watch, kib_per_connection=each)
    return rounds


def million(machine, options):
    """Resident memory after a tenth of the requests, and after all."""
    provider, rounds = machine.provider(), Rounds()
    for name in fast(options):
        child, port = machine.proxy(name, provider)
        done, marks = 0, {}
        with Watch(child.pid) as watch:
            for mark in [options.million // 10, options.million]:
                while done < mark:
                    done += machine.wrk(port, 300, 32, max(1, options.seconds))
                marks[mark] = resident_kib(child.pid)
        first, last = marks.values()
        rounds.add(name, watch, resident_mib=last / 1024, grown_kib=last - first, requests=done)
        machine.stop(child)
    machine.stop()
    return rounds


def threads(machine, options):
    """CPU a request with one thread on one core, and with two threads on both, which slow each other."""
    rounds = Rounds()
    for _ in range(options.rounds):
        for name in fast(options):
            for count in [1, 2]:
                provider = machine.provider()
                child, port = machine.proxy(name, provider, threads=count)
                machine.wrk(port, 300, 32, 1)
                cores = f"{PROXY_CORE},{OTHER_CORE}" if count == 2 else OTHER_CORE
                with Watch(child.pid) as watch:
                    done = machine.wrk(port, 300, 64, options.seconds, cores=cores)
                rounds.add(name, watch, **{f"cpu_us_{count}": watch.cpu / done * 1e6})
                machine.stop()
    for values in rounds.values():
        values["two_over_one"] = [2 * one / two for one, two in zip(values["cpu_us_1"], values["cpu_us_2"])]
    return rounds


def traced(machine, child, load):
    """The system calls of a process and its descendants while `load` runs: {name: count}, and the result of `load`."""
    output = machine.file("strace", "")
    targets = [argument for pid in family(child.pid) for argument in ("-p", str(pid))]
    strace = subprocess.Popen([machine.tools["strace"], "-f", "-c", "-o", output, *targets], stderr=subprocess.PIPE, text=True)
    # strace reports each process to which it has attached.
    for _ in targets[::2]:
        if "attached" not in strace.stderr.readline():
            sys.exit("strace cannot attach")
    time.sleep(0.2)
    done = load()
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=30)
    # % time, seconds, usecs/call, calls, errors (may be empty), name
    lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", output.read_text(), re.M)
    return {name: int(count) for count, name in lines if name != "total"}, done


def syscalls(machine, options):
    """System calls a request, in a closed loop of 32 connections. Tracing slows the proxy, and the times mean nothing."""
    provider, rounds = machine.provider(), Rounds()
    for name in options.proxies:
        child, port = machine.proxy(name, provider)
        machine.wrk(port, 300, 32, 1)
        with Watch(child.pid) as watch:
            calls, (done, _) = traced(machine, child, lambda: closed_loop(machine, options, name, port, 300))
        each = {call: count / done for call, count in calls.items() if count / done >= 0.05}
        rounds.add(name, watch, calls=sum(calls.values()) / done, **dict(sorted(each.items(), key=lambda item: -item[1])))
        machine.stop(child)
    machine.stop()
    return rounds


ALL = ["requests", "tls", "alone", "latency", "streams", "memory", "many", "slow", "million", "threads", "syscalls"]


def measure(machine, options, keep):
    """Measures what is chosen, and hands each result to `keep`: the name of the measure and its rounds.

    A measure that fails ends none of the others. Returns the names of those that failed.
    """
    failed = []

    def run(title, measured, *arguments, **more):
        print(f"measuring {title}", file=sys.stderr)
        try:
            keep(title, measured(machine, options, *arguments, **more))
        except (Exception, SystemExit):
            traceback.print_exc()
            machine.stop()
            failed.append(title)

    for name in options.only:
        if name == "requests":
            for size in options.sizes:
                run(f"requests, {name_of(size)}", requests, size)
        elif name == "tls":
            for size in two(options):
                run(f"TLS to the provider, {name_of(size)}", requests, size, tls=True)
        elif name == "alone":
            for size in two(options):
                run(f"one connection, {name_of(size)}", alone, size)
        elif name == "latency":
            run(f"latency at {options.rate} a second", latency)
        else:
            run(name, globals()[name])
    return failed
