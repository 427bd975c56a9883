"""What a start of `sonda emit` may import: a person waits for each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.serving import PATIENCE_S

ALWAYS = {"click", "sonda", "returns", "typing_extensions", "msgspec", "jsonschema_rs"}
CONNECTS = {"aiohappyeyeballs"}
SCRIPT = """
import sys
before = set(sys.modules)
import atexit, sonda.cli
names = lambda: {name.partition(".")[0] for name in sys.modules.keys() - before}
atexit.register(lambda: print(*(names() - sys.stdlib_module_names), file=sys.stderr))
sonda.cli.main()
"""


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], {"click", "sonda", "msgspec", "typing_extensions"}),
        (["--to", "stdout"], ALWAYS | CONNECTS),
        (["--to", "file=x.log"], ALWAYS | CONNECTS),
        (["--to", "tcp=127.0.0.1:1"], ALWAYS | CONNECTS),
    ],
)
def test_what_an_emit_may_import(words: list[str], allowed: set[str]) -> None:
    """Of other packages only these; no HTTP client where nothing is posted."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, "emit", "log", "x", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    loaded = {name for name in run.stderr.splitlines()[-1].split() if not name.startswith("_")}
    assert loaded <= allowed, loaded - allowed
