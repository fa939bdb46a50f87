"""The three lines of code for each SDK in docs/providers.md work unchanged."""

import os
import pathlib
import re
import subprocess

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "providers.md"
# | `package` | `line`<br>`line`<br>`line` |
ROWS = re.findall(r"^\| `(\S+)`[^|]* \| (`[^|]+<br>.+`) \|$", PAGE.read_text(), re.M)
assert len(ROWS) >= 10, ROWS


@pytest.mark.parametrize("package, cell", ROWS, ids=[package for package, _ in ROWS])
def test_three_lines(stage, provider, package, cell):
    lines = cell.strip("`").split("`<br>`")
    assert len(lines) == 3
    text = "\n".join(lines).replace("http://127.0.0.1:8080", stage.url)
    if lines[0].endswith("'"):
        script = pathlib.Path(os.environ["SDK_NODE"]) / "documentation.mjs"
        script.write_text(f"const KEY = process.env.KEY;\n{text}")
        result = subprocess.run(["node", script], env=os.environ | {"KEY": stage.key}, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
    else:
        exec(text, {"KEY": stage.key})
    assert provider.take()
