"""BOLT rearranges the code of a linked program by a profile, which an instrumented copy of the program records.

Nothing here samples: virtual machines seldom have the branch records (LBR) that sampling needs.
"""

import re
import subprocess
import sys
from pathlib import Path

# The linker keeps the relocations, without which BOLT cannot move functions.
FLAG = "-Clink-arg=-Wl,--emit-relocs"
LAYOUT = ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold", "-split-eh"]


def packages(llvm):
    return {"llvm-bolt": f"bolt-{llvm}", "merge-fdata": f"bolt-{llvm}", "llvm-strip": f"llvm-{llvm}"}


def run(command):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def instrument(tools, program, copy):
    """Writes a copy of the program that records a profile to COPY.PID.fdata when it ends in order."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    for profile in profiles(copy):
        profile.unlink()
    run([tools["llvm-bolt"], program, "-instrument", f"--instrumentation-file={copy}", "--instrumentation-file-append-pid", "-o", copy])


def profiles(copy):
    return sorted(Path(copy).parent.glob(f"{Path(copy).name}.*.fdata"))


def rearrange(tools, program, copy, result):
    """Writes the program as BOLT rearranges it by the profiles of its instrumented copy. Returns what BOLT reports."""
    merged = Path(copy).with_suffix(".merged")
    run([tools["merge-fdata"], *profiles(copy), "-o", merged])
    result.parent.mkdir(parents=True, exist_ok=True)
    output = run([tools["llvm-bolt"], program, "-data", merged, *LAYOUT, "-dyno-stats", "-o", result])
    profiled = re.search(r"(\d+) out of (\d+) functions in the binary \S+ have non-empty execution profile", output)
    if not profiled or int(profiled[1]) < 50:
        sys.exit(f"BOLT has no profile of {program}:\n{output[-4000:]}")
    return f"{profiled[1]} of {profiled[2]} functions were executed; {taken(output)}"


def strip(tools, program):
    """Removes the symbols. GNU strip breaks a program that BOLT has rearranged."""
    run([tools["llvm-strip"], program])


def taken(output):
    """The change of the number of taken branches, which is what a layout saves."""
    found = re.findall(r"^ +(-?\d+) +: taken branches(?: \(([-+][\d.]+%)\))?", output, re.M)
    return f"taken branches {found[-1][1]}" if found else "no statistics"
