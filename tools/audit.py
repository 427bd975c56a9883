"""Ask the package registry whether a pinned release was yanked; ends with 1 if one was.

A registry knows no more than that. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def main() -> int:
    """Let pip resolve each pin by itself, and read its report."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    how = ["--dry-run", "--ignore-installed", "--no-deps", "--report=-"]
    done = subprocess.run(
        [*pip, *how, f"--requirement={CONSTRAINTS}"], stdout=subprocess.PIPE, check=True
    )
    chosen: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    yanked = [each["metadata"] for each in chosen if each.get("is_yanked")]
    for metadata in yanked:
        print(f"yanked: {metadata['name']} {metadata['version']}")
    print(f"{len(chosen)} pinned releases, {len(yanked)} of them yanked")
    return 1 if yanked else 0


if __name__ == "__main__":
    sys.exit(main())
