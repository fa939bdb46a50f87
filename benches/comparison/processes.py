"""What processes and the whole machine do, read from /proc. Knows nothing of proxies."""

import os
import platform
import re
import resource
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Above these, in percent of the machine's processor time, other work disturbs a measurement.
OTHERS_LIMIT, STEAL_LIMIT = 5.0, 1.0


def snapshot():
    """The parent and the processor time in seconds of each process, by process id."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(stat.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    return found


def family(pid, processes=None):
    """The process and all its descendants."""
    processes = processes or snapshot()
    children = [child for child, (parent, _) in processes.items() if parent == pid]
    return [pid, *(member for child in children for member in family(child, processes))]


def cpu_seconds(pid, processes=None):
    """The user and system time of the process and its descendants that still run."""
    processes = processes or snapshot()
    return sum(processes[member][1] for member in family(pid, processes) if member in processes)


def resident_kib(pid):
    statuses = [Path(f"/proc/{member}/status").read_text() for member in family(pid)]
    return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) for status in statuses)


def settled_kib(pid):
    """The resident memory when it no longer changes, at most ten seconds later."""
    last, same = resident_kib(pid), 0
    for _ in range(50):
        time.sleep(0.2)
        now = resident_kib(pid)
        same = same + 1 if abs(now - last) <= last / 200 else 0
        last = now
        if same == 5:
            break
    return last


class Watch:
    """Measures a process, and what the rest of the machine does meanwhile.

        with Watch(child.pid) as watch:
            ...
        watch.cpu           processor time of the process and its descendants, in seconds
        watch.meanwhile     load average (of the minute before), CPU time of all other processes and stolen time, both in
                            percent of the machine's processor time

    Other processes are all but this script and its descendants: the proxies, the providers and the load generators. Their
    time is the user, nice and system time of /proc/stat, which also has processes that have ended and those of other
    process namespaces, minus that of this script and its descendants. Time in interrupts belongs to no process, and is
    left out.
    """

    def __init__(self, pid=None):
        self.pid = pid

    def read(self):
        processes = snapshot()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = cpu_seconds(os.getpid(), processes) + ended.ru_utime + ended.ru_stime
        user, nice, system, _, _, _, _, steal = (int(field) / TICKS for field in Path("/proc/stat").read_text().split()[1:9])
        measured = cpu_seconds(self.pid, processes) if self.pid else 0
        return {"measured": measured, "others": user + nice + system - own, "steal": steal, "time": time.monotonic()}

    def __enter__(self):
        self.load_average = os.getloadavg()[0]
        self.begin = self.read()
        return self

    def __exit__(self, *_):
        end = self.read()
        took = {name: end[name] - self.begin[name] for name in end}
        of_machine = took["time"] * os.cpu_count() / 100
        self.cpu = took["measured"]
        self.meanwhile = {
            "load_average": round(self.load_average, 2),
            "others_percent": round(max(0, took["others"]) / of_machine, 1),
            "steal_percent": round(took["steal"] / of_machine, 1),
        }


def is_disturbed(meanwhile):
    return meanwhile["others_percent"] > OTHERS_LIMIT or meanwhile["steal_percent"] > STEAL_LIMIT


def state_of_machine(meanwhile):
    """A sentence on what the machine did during all measurements: {measure: {proxy: [the `meanwhile` of each round]}}."""
    found = [(measure, proxy, one) for measure, proxies in meanwhile.items() for proxy, ones in proxies.items() for one in ones]
    if not found:
        return "Nothing was measured."
    others, steal, load = ([one[name] for _, _, one in found] for name in ("others_percent", "steal_percent", "load_average"))
    numbers = (
        f"other processes took {sum(others) / len(others):.1f} % of its processor time (at most {max(others):.0f} %), "
        f"{sum(steal) / len(steal):.1f} % was stolen by the host (at most {max(steal):.0f} %), load average {min(load):.1f} to {max(load):.1f}"
    )
    disturbed = [measure for measure, _, one in found if is_disturbed(one)]
    if not disturbed:
        return f"Quiet machine: {numbers}."
    named = ", ".join(f"{measure} ({disturbed.count(measure)} times)" for measure in dict.fromkeys(disturbed))
    return f"BUSY MACHINE in {len(disturbed)} of {len(found)} measurements, whose times are not to be trusted: {numbers}. Disturbed: {named}."


def facts():
    """What of this machine has an effect on the figures."""
    read = lambda path: Path(path).read_text().strip() if Path(path).exists() else "unknown"
    cpu = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    pages = re.search(r"\[(\w+)\]", read("/sys/kernel/mm/transparent_hugepage/enabled"))
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "tcp_congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "transparent_hugepages": pages[1] if pages else "unknown",
    }
