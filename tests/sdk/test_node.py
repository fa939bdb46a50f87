"""The SDKs on Node: `node/*.mjs`, run where $SDK_NODE has their packages."""

import os
import pathlib
import shutil
import subprocess

import pytest
from provider import TEXT

SCRIPTS = sorted((pathlib.Path(__file__).parent / "node").glob("*.mjs"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_on_node(stage, provider, script):
    # Packages are found beside the script only.
    there = shutil.copy(script, os.environ["SDK_NODE"])
    environment = os.environ | {"URL_": stage.url, "KEY": stage.key, "TEXT": TEXT}
    ran = subprocess.run(["node", there], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert provider.take()
