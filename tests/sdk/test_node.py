"""The SDKs on Node.js: runs `node/*.mjs` with the packages in $SDK_NODE."""

import os
import pathlib
import shutil
import subprocess

import pytest
from provider import TEXT

SCRIPTS = sorted((pathlib.Path(__file__).parent / "node").glob("*.mjs"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_on_node(stage, provider, script):
    # Node.js finds packages only beside the script.
    copy = shutil.copy(script, os.environ["SDK_NODE"])
    environment = os.environ | {"URL_": stage.url, "KEY": stage.key, "TEXT": TEXT}
    result = subprocess.run(["node", copy], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert provider.take()
