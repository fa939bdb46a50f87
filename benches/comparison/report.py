"""Shows results: as text, as the tables of docs/benchmarks.md, and as bars in an SVG."""

import json
import statistics
import sys
import time
from pathlib import Path

from comparison.processes import facts, is_disturbed, state_of_machine
from comparison.programs import ROOT, versions
from comparison.work import SIZES, name_of

NAMES = {"haproxy": "HAProxy", "envoy": "Envoy", "litellm": "LiteLLM", "portkey": "Portkey", "bare": "bare Pingora", "bare-plain": "bare Pingora, plain",
         "keygate-plain": "keygate, plain", "keygate-off": "keygate, no log or meter", "keygate-bolt": "keygate, with BOLT", "keygate": "**keygate**"}


def text_of_results(tools, built, results, meanwhile, options, seconds=()):
    """The text of a file of raw data. `seconds` are the durations of runs of the measures that it has already."""
    return json.dumps({
        "date": time.strftime("%F"), "state": state_of_machine(meanwhile), "machine": facts(), "versions": versions(tools, built),
        "options": {"rounds": options.rounds, "seconds": sorted({options.seconds, *seconds}), "quick": options.quick},
        "results": results, "meanwhile": meanwhile,
    }, indent=1) + "\n"


def earlier(file, tools, built):
    """What a file of raw data has already: the results, what the machine did meanwhile, and the durations of runs.

    Results of other programs or of another machine are not to be compared with those of this run: then it ends here.
    """
    if not file or not Path(file).exists():
        return {}, {}, []
    data = json.loads(Path(file).read_text())
    now = versions(tools, built)
    differ = any(now.get(name, found) != found for name, found in data["versions"].items())
    if differ or data["machine"] != facts():
        sys.exit(f"{file} has results of other programs or of another machine: remove it, or name another file")
    return data["results"], data["meanwhile"], data["options"]["seconds"]


def describe(machine):
    return (
        f"{machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, TCP congestion control {machine['tcp_congestion_control']}, "
        f"transparent huge pages {machine['transparent_hugepages']}"
    )


def median(values, column):
    return statistics.median(values[column]) if column in values else None


def show_state(meanwhile, quick=False):
    print(state_of_machine(meanwhile) + (" --quick: these figures are no measurement." if quick else ""))
    print(describe(facts()))


def show(results, meanwhile, quick=False):
    """Prints a table for each measure; a mark tells on which rows other work had an effect."""
    show_state(meanwhile, quick)
    for measure, rounds in results.items():
        columns = list(dict.fromkeys(column for values in rounds.values() for column in values))
        widths = [max(len(column), 9) + 2 for column in columns]
        print(f"\n{measure:30}" + "".join(f"{column:>{width}}" for column, width in zip(columns, widths)) + f"{'to nginx':>10}{'others %':>10}{'steal %':>9}")
        base = rounds.get("nginx", {}).get(columns[0])
        for proxy, values in rounds.items():
            cells = [f"{median(values, column):.1f}" if column in values else "" for column in columns]
            first, seen = values.get(columns[0]), meanwhile[measure][proxy]
            ratio = f"{statistics.median(first) / statistics.median(base):.2f}" if base and first else ""
            others, steal = (max(one[name] for one in seen) for name in ("others_percent", "steal_percent"))
            mark = " BUSY" if any(map(is_disturbed, seen)) else ""
            print(f"{proxy:30}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths)) + f"{ratio:>10}{others:>10.1f}{steal:>9.1f}{mark}")


# The tables of docs/benchmarks.md.


def prompts(template, sizes=SIZES):
    return [(name_of(size), *(part.format(size=name_of(size), column=name_of(size).replace(" ", "_")) for part in template)) for size in sizes]


def tables(results):
    """The title of each table and its columns: (title, measure, column, how to write a value)."""
    rate = next((measure for measure in results if measure.startswith("latency at")), "latency at")
    one, many = "{:.1f}", next((f"{values['streams'][0]:,}" for values in results.get("many", {}).values()), "many")
    of_each = lambda pairs, digits: [(*pair, digits) for pair in pairs]
    return [
        ("CPU a request in microseconds, by size of the prompt", of_each(prompts(("requests, {size}", "cpu_us")), one)),
        ("CPU a request in microseconds, with TLS to the provider", of_each(prompts(("TLS to the provider, {size}", "cpu_us")), one)),
        ("Latency in microseconds that the proxy adds", [
            *((f"{name}, one connection, {size}", f"one connection, {size}", f"added {column}", "{:.0f}")
              for size in map(name_of, SIZES) for name, column in [("p50", "p50_us"), ("p99", "p99_us")]),
            *((f"{name}, {rate.removeprefix('latency ')}", rate, f"added {column}", "{:.0f}") for name, column in [("p50", "p50_us"), ("p99", "p99_us")]),
        ]),
        ("Streamed events: CPU in microseconds, and delay in microseconds that the proxy adds", [
            ("CPU an event", "streams", "cpu_us", one), ("p50", "streams", "added p50_us", "{:.0f}"), ("p99", "streams", "added p99_us", "{:.0f}")]),
        ("Memory in KiB of an open stream, by size of the prompt, and of a connection whose client does not read", [
            *of_each(prompts(("memory", "kib_at_{column}")), one), (f"0.3 KB, of {many}", "many", "kib_per_stream", one),
            ("slow reader", "slow", "kib_per_connection", "{:.0f}")]),
        ("System calls a request; memory after a million requests in MiB; requests a second on two cores over one", [
            ("system calls", "syscalls", "calls", one), ("memory", "million", "resident_mib", one), ("two cores over one", "threads", "two_over_one", one)]),
    ]


def value(rounds, proxy, column):
    values = rounds.get(proxy, {})
    if not column.startswith("added "):
        return median(values, column)
    column = column.removeprefix("added ")
    if column not in values or proxy == "no proxy" or "no proxy" not in rounds:
        return None
    # The difference of each round, in which both had the same arrivals.
    return statistics.median(with_proxy - without for with_proxy, without in zip(values[column], rounds["no proxy"][column]))


def table(results, columns):
    columns = [column for column in columns if column[1] in results]
    proxies = list(dict.fromkeys(proxy for _, measure, _, _ in columns for proxy in results[measure] if proxy != "no proxy"))
    lines = []
    for proxy in proxies:
        found = [(value(results[measure], proxy, column), how) for _, measure, column, how in columns]
        lines.append([NAMES.get(proxy, proxy), *("" if number is None else how.format(number) for number, how in found)])
    # A column without any value was not measured.
    kept = [0, *(at for at in range(1, len(columns) + 1) if any(line[at] for line in lines))]
    if len(kept) == 1:
        return ""
    titles = ["", *(title for title, _, _, _ in columns)]
    rows = [[line[at] for at in kept] for line in [titles, *lines]]
    rows.insert(1, ["---"] + ["---:"] * (len(kept) - 1))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown(path):
    """The tables of docs/benchmarks.md for a file of results."""
    found = json.loads(Path(path).read_text())
    name, bars = Path(path).name, Path(path).with_suffix(".svg")
    numbers = found["options"]
    parts = [f"![The main figures as bars](../benches/results/{bars.name})"] if bars.exists() else []
    parts += [
        f"{found['state']} {describe(found['machine'])}. Medians of {numbers['rounds']} rounds of {' or '.join(map(str, numbers['seconds']))} s, "
        f"{found['date']}. [The raw data](../benches/results/{name}).",
    ]
    if numbers["quick"]:
        parts.insert(0, "**Taken with --quick: these figures are no measurement.**")
    for title, columns in tables(found["results"]):
        text = table(found["results"], columns)
        parts += [f"{title}:", text] if text else []
    return "\n\n".join(parts)


BEGIN, END = "<!-- figures: written by benches/compare --docs -->", "<!-- end of figures -->"


def write_docs(path):
    """Replaces the figures in docs/benchmarks.md by those of a file in benches/results/."""
    page = ROOT / "docs" / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or Path(path).resolve().parent != ROOT / "benches" / "results":
        sys.exit(f"{page} must have the two comments around its figures, and {path} must be in benches/results/")
    page.write_text(before + BEGIN + "\n\n" + markdown(path) + "\n\n" + END + after)


# Bars.


def plot(results, path):
    """Draws CPU a request for a small and a larger prompt, CPU an event, and memory a stream with a larger prompt."""
    charts = [(title, {proxy: median(values, column) for proxy, values in results[name].items() if column in values})
              for title, name, column in [
                  ("CPU a request of 0.3 KB, µs", "requests, 0.3 KB", "cpu_us"),
                  ("CPU a request of 60 KB, µs", "requests, 60 KB", "cpu_us"),
                  ("CPU a streamed event, µs", "streams", "cpu_us"),
                  ("memory a stream, prompt of 60 KB, KiB", "memory", "kib_at_60_KB"),
              ] if name in results and any(column in values for values in results[name].values())]
    width, bar, text = 330, 22, []
    for number, (title, values) in enumerate(charts):
        left, most = 12 + number * width, max(values.values())
        text.append(f'<text x="{left}" y="22" font-weight="bold">{title}</text>')
        for row, (proxy, number_of) in enumerate(values.items()):
            top = 36 + row * (bar + 8)
            fill = "#c2410c" if proxy == "keygate" else "#9ca3af"
            length = 150 * number_of / most
            text.append(f'<text x="{left}" y="{top + 15}">{proxy}</text>')
            text.append(f'<rect x="{left + 90}" y="{top}" width="{length:.0f}" height="{bar}" fill="{fill}"/>')
            text.append(f'<text x="{left + 96 + length:.0f}" y="{top + 15}">{number_of:.1f}</text>')
    if charts:
        height = 50 + max(len(values) for _, values in charts) * (bar + 8)
        draw(path, width * len(charts), height, text)


def draw(path, width, height, text):
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(text) + "\n</svg>\n"
    )
