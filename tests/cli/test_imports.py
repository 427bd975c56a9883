"""What a start of `sonda emit` may import: a person waits for each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.serving import PATIENCE_S

ALWAYS = {"click", "sonda", "returns", "typing_extensions", "msgspec", "jsonschema_rs"}
CONNECTS = {"aiohappyeyeballs"}
POSTS = {
    "httpx",
    "idna",
    "zstandard",
    "brotli",
    "brotlicffi",
}  # the last three are httpx's, where installed
# Large, and of no use to a start: httpx's own command line, what only a server answers, and more.
NEVER = {
    "html",
    "importlib.metadata",
    "importlib.resources",
    "jsonschema",
    "multiprocessing",
    "pygments",
    "referencing",
    "rich",
    "sonda.rejections",
    "sqlite3",
    "tomllib",
    "uvloop",
    "yaml",
    "zipfile",
}
OTHER_ROOMS = (
    "sonda.notebook",
    "sonda.observe",
    "sonda.pipeline.scenarios",
    "sonda.resources",
    "sonda.server",
)
CONNECTS_NOWHERE = {
    "aiohappyeyeballs",
    "click.shell_completion",
    "difflib",
    "sonda.pipeline.net.proxies",
    "sonda.pipeline.net.tls",
    "sonda.pipeline.policy.destinations",
    "sonda.pipeline.text.unescape",
    "sonda.pipeline.verify",
}
SCRIPT = """
import sys
before = set(sys.modules)
import atexit, sonda.cli
names = lambda: {name for name, module in sys.modules.items() if module and name not in before}
atexit.register(lambda: print(*names(), file=sys.stderr))
sonda.cli.main()
"""


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], {"click", "sonda", "msgspec", "typing_extensions"}),
        (["--to", "stdout"], ALWAYS),
        (["--to", "file=x.log"], ALWAYS),
        (["--to", "tcp=127.0.0.1:1"], ALWAYS | CONNECTS),
        (["--to", "loki=http://127.0.0.1:1"], ALWAYS | CONNECTS | POSTS),
        (["--to", "stdout", "--server", "http://127.0.0.1:1"], ALWAYS | CONNECTS | POSTS),
    ],
)
def test_what_an_emit_may_import(words: list[str], allowed: set[str]) -> None:
    """Of other packages only these: an HTTP client never works, and its words only where HTTP is spoken."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, "emit", "log", "x", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    names = set(run.stderr.splitlines()[-1].split())
    packages = {name.partition(".")[0] for name in names}
    loaded = {name for name in packages - sys.stdlib_module_names if not name.startswith("_")}
    assert loaded <= allowed, loaded - allowed
    assert not names & NEVER
    assert not [name for name in names if name.startswith(OTHER_ROOMS)]
    if "aiohappyeyeballs" not in allowed:
        assert not names & CONNECTS_NOWHERE


def test_importing_sonda_loads_nothing_else() -> None:
    """Not even `typing`: what is not used is not waited for."""
    script = (
        "import sys; before = set(sys.modules); import sonda; print(*set(sys.modules) - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert set(run.stdout.split()) == {"sonda", "__future__"}
