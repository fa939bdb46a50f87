"""The fixtures of these tests: a recording provider, a real gateway in front of it, and one key.

    KEYGATE=target/debug/keygate pytest tests/sdk
"""

import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from provider import Provider

# The kinds, each with a route of this name. `closed-` routes have a selector that the key does not match, `late-` routes
# short timeouts, and `exact-` routes, for the kinds in `USAGE_ON_REQUEST`, request the usage of streams.
USAGE_ON_REQUEST = {"openai", "azure", "huggingface", "groq"}
KINDS = {
    "openai": ("openai", 'base_url = "{url}/v1"'),
    "azure": ("azure-openai", 'endpoint = "{url}"\ndeployment = "d"'),
    "anthropic": ("anthropic", 'base_url = "{url}/v1"'),
    "gemini": ("gemini", 'base_url = "{url}/v1beta"'),
    "mistral": ("mistral", 'base_url = "{url}/v1"'),
    "huggingface": ("huggingface", 'base_url = "{url}/v1"'),
    "groq": ("groq", 'base_url = "{url}/openai/v1"'),
    "cohere": ("cohere", 'base_url = "{url}/v2"'),
}


def configuration(provider):
    text = ""
    for name, (kind, place) in KINDS.items():
        head = f'kind = "{kind}"\ntoken = "inline:token-{name}"\n{place.format(url=provider.urls[name])}\n'
        late = 'timeouts = { first_byte = "300ms", idle = "300ms" }\n'
        text += f"[providers.{name}]\n{head}[providers.late-{name}]\n{head}{late}"
        for path, of, more in [
            (name, name, ""),
            (f"late/{name}", f"late-{name}", ""),
            (f"closed/{name}", name, 'keys = { team = "other" }\n'),
            *[(f"exact/{name}", name, 'meter_streams = "exact"\n')] * (name in USAGE_ON_REQUEST),
        ]:
            text += f'[[routes]]\nname = "{path.replace("/", "-")}"\npath = "/{path}"\nprovider = "{of}"\n{more}'
    return text


class Gateway:
    """A real gateway with one key, until `stop`."""

    def __init__(self, folder, configure):
        self.keygate, self.folder = pathlib.Path(os.environ["KEYGATE"]).resolve(), folder
        self.key = self.create("--id", "sdk")
        # The `closed-` routes need a key that matches, or the configuration is refused.
        self.create("--id", "other", "--label", "team=other")
        server = '[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
        (folder / "gateway.toml").write_text(server + configure(self.key))
        command = [self.keygate, "run", "--allow-root", "--config", folder / "gateway.toml"]
        self.access_log = folder / "access.log"
        with self.access_log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        events = ""
        while "serving" not in events:
            line = self.process.stderr.readline()
            assert line, f"the gateway did not start: {events}"
            events += line
        self.address = re.search(r"listen=\[([^\],]+)", events)[1]
        self.url = f"http://{self.address}"
        self.admin = re.search(r"admin=\[?([^\]\s,]+)", events)[1]
        # Keeps reading its events, so that a full pipe never blocks the gateway.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def create(self, *arguments):
        command = [self.keygate, "keys", "create", "--file", self.folder / "keys.toml", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def count(self, series):
        """The value of a series of /metrics; 0 if it is not there."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics") as metrics:
            lines = metrics.read().decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series + " ")), 0)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    provider = None

    def configure(key):
        nonlocal provider
        provider = Provider([key])
        return configuration(provider)

    gateway = Gateway(tmp_path_factory.mktemp("gateway"), configure)
    gateway.provider = provider
    yield gateway
    gateway.stop()


@pytest.fixture
def provider(stage):
    """The recording provider, without the requests of other tests."""
    stage.provider.take()
    yield stage.provider
    stage.provider.take()


def lines(provider):
    return [record.line for record in provider.take()]
