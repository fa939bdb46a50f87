"""Command-line coding agents, unmodified: each completes a turn through the gateway, and its usage is metered.

`AGENTS` names the folder into which `tests/sdk/agents` has installed them, one folder for each agent and version.
"""

import json
import os
import pathlib
import re
import subprocess
import time

import pytest
from provider import TEXT

FOLDER = pathlib.Path(os.environ["AGENTS"])
PROMPT = "Say hello."
OPENCODE = {"npm": "@ai-sdk/openai-compatible", "name": "keygate", "models": {"m": {"name": "m"}}}
GEMINI = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "selectedAuthType": "gemini-api-key"}


def codex(stage, home, version):
    """The built-in provider with another base URL: a WebSocket in new versions, a stream in old ones."""
    base = f"{stage.url}/openai/v1"
    places = ["-c", f'openai_base_url="{base}"']
    if version.startswith("0.101."):
        settings = f'{{name="keygate",base_url="{base}",env_key="OPENAI_API_KEY",wire_api="responses"}}'
        places = ["-c", "model_provider=keygate", "-c", f"model_providers.keygate={settings}"]
    secrets = {"OPENAI_API_KEY": stage.key, "CODEX_API_KEY": stage.key, "CODEX_HOME": str(home)}
    return ["codex", "exec", "--skip-git-repo-check", *places, PROMPT], secrets


def claude(stage, home, version):
    settings = {"ANTHROPIC_BASE_URL": f"{stage.url}/anthropic", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    return ["claude", "--model", "m", "-p", PROMPT], settings | {"ANTHROPIC_API_KEY": stage.key}


def claude_with_a_token(stage, home, version):
    command, settings = claude(stage, home, version)
    return command, settings | {"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": stage.key}


def claude_with_headers(stage, home, version):
    """An organization's own header, with an underscore in its name."""
    command, settings = claude(stage, home, version)
    return command, settings | {"ANTHROPIC_CUSTOM_HEADERS": "cost_center: 4711"}


def gemini(stage, home, version):
    (home / ".gemini").mkdir()
    (home / ".gemini/settings.json").write_text(json.dumps(GEMINI))
    settings = {"GOOGLE_GEMINI_BASE_URL": f"{stage.url}/gemini", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return ["gemini", "-m", "gemini-2.5-flash", "-p", PROMPT], settings | {"GEMINI_API_KEY": stage.key}


def opencode(stage, home, version):
    options = {"baseURL": f"{stage.url}/openai/v1", "apiKey": "{env:KEYGATE_KEY}"}
    settings = {"provider": {"keygate": OPENCODE | {"options": options}}, "model": "keygate/m"}
    (home / "work/opencode.json").write_text(json.dumps(settings))
    return ["opencode", "run", PROMPT], {"KEYGATE_KEY": stage.key}


def qwen(stage, home, version):
    settings = {"OPENAI_API_KEY": stage.key, "OPENAI_BASE_URL": f"{stage.url}/openai/v1", "OPENAI_MODEL": "m"}
    return ["qwen", "-p", PROMPT], settings


AGENTS = {
    "codex": [codex],
    "claude": [claude, claude_with_a_token, claude_with_headers],
    "gemini": [gemini],
    "opencode": [opencode],
    "qwen": [qwen],
}
TURNS = [
    pytest.param(turn, version, id=f"{turn.__name__}-{version}")
    for folder in sorted(FOLDER.glob("*-*"))
    for agent, version in [folder.name.split("-", 1)]
    for turn in AGENTS[agent]
]
assert TURNS, f"{FOLDER} has no agents"


@pytest.mark.parametrize("turn, version", TURNS)
def test_a_turn_is_completed_and_metered(stage, provider, tmp_path, turn, version):
    (tmp_path / "work").mkdir()
    command, settings = turn(stage, tmp_path, version)
    program = FOLDER / f"{command[0]}-{version}" / "node_modules/.bin" / command[0]
    before = stage.access_log.stat().st_size
    result = subprocess.run(
        [program, *command[1:]], cwd=tmp_path / "work", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"} | settings, timeout=120,
    )
    assert TEXT in re.sub(r"\s+", " ", result.stdout), result.stdout + result.stderr
    # `take` raises if a credential of the client, or an account that it selected, reached the provider.
    records = provider.take()
    assert records
    lines = lines_since(stage.access_log, before, len(records))
    assert len(lines) == len(records)
    for line in lines:
        assert line["key"] == "sdk" and line["status"] in (101, 200), line
        # A WebSocket may have several responses: the first one warms the connection up.
        each = line.get("responses", 1)
        assert (line["input_tokens"], line["output_tokens"]) == (3 * each, 4 * each), line


def lines_since(log, position, count):
    """Waits for so many access lines after a position. A line is written when its exchange ends, maybe after the agent."""
    end = time.monotonic() + 20
    while True:
        with log.open() as file:
            file.seek(position)
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        if len(lines) >= count or time.monotonic() > end:
            return lines
        time.sleep(0.05)
