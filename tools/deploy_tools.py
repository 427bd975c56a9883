"""Install what the checks of the image and of `deploy/` need, once, beside the backends.

    python3 -m tools.deploy_tools                # all of it
    python3 -m tools.deploy_tools compose        # only this

Where, and how it is kept, says `tests/backends/install.py`. There is a container engine that needs
no registry of images, something to build on in place of `python:3.13-slim`, Docker Compose,
kustomize, Helm, and Grafana's schema of a dashboard. Only the standard library is used.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Final

from tests.backends.install import (
    STAMP,
    Backend,
    GoProgram,
    build_go,
    cache_root,
    distribution,
    run,
    run_as_script,
    unpack_debian,
)

# A release of Debian, and with it a Python: those that `python:3.13-slim` is made of.
BASE_RELEASE: Final = "trixie"
BASE_PYTHON: Final = "3.13"

COMPOSE: Final = GoProgram(
    module="github.com/docker/compose/v5",
    version="v5.6.0",
    zip_sum="h1:WCDEV0D1CtZLyPdklHdEjFBnCStosBYkfsD3tvM/ITU=",
    mod_sum="h1:NLnbMzshDO3QlhgzMxd9sm981O1yLjPybL1WGStUesI=",
    packages={"docker-compose": "cmd"},
    ldflags="-s -w -X github.com/docker/compose/v5/internal.Version=v5.6.0",
)
KUSTOMIZE: Final = GoProgram(
    module="sigs.k8s.io/kustomize/kustomize/v5",
    version="v5.8.2",
    zip_sum="h1:sSNeWwgkdSMGCIavtY63JQMgBJkGv3IwOltWVZy+LFQ=",
    mod_sum="h1:zzp/kd2bAYFCO6igFQdIn41S/l+gySmsTyMfiQCkVZg=",
    packages={"kustomize": ""},
)
HELM: Final = GoProgram(
    module="helm.sh/helm/v3",
    version="v3.21.4",
    zip_sum="h1:T/GcIEXU/gNjJnkITlIZ3e9xqkZjhFTmISuStTZ6+Qg=",
    mod_sum="h1:cS2FBb+xfLuaSqvEmbqIeKUVFgHdHVHtVeXb2epof3M=",
    packages={"helm": "cmd/helm"},
)
GRAFANA_VERSION: Final = "12.4.10"
NPM_PACKAGES: Final = {  # name -> version, and the checksum that this version must have
    "@grafana/schema": (
        GRAFANA_VERSION,
        "sha512-2cTgjaORqQQa4s1/btEWW4m+Mh/KdOnTDhLxfbv2GcvcnLwprEbjpHMepAhlqyxusFvXA7dFIGIyqwe703OQZQ==",
    ),
    "tslib": (
        "2.8.1",
        "sha512-oJFu94HQb+KVduSUQL7wnpmqnfmLsOA/nAh6b6EH0wCEoK0/mPeXU6c3wKDV83MkOuHPRHtSXKKU99IBazS/2w==",
    ),
    "typescript": (
        "5.9.3",
        "sha512-jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw==",
    ),
}

# In a mount namespace of its own, unpacked packages lie over the machine's files.
OVERLAY: Final = 'mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr'


def find(name: str) -> Path | None:
    """Return the folder of an installed tool, or None when its pinned version is not there."""
    folder = cache_root() / name / TOOLS[name].version
    return folder if (folder / STAMP).is_file() else None


def build_base(target: Path, scratch: Path) -> None:
    """Make `target/base.tar`: a small Debian with its Python, and nothing that Sonda needs."""
    unpack_debian(("mmdebstrap",), scratch, scratch / "packages")
    script = f'{OVERLAY} && shift && exec mmdebstrap "$@"'
    packages = "ca-certificates,netbase,tzdata,python3,python3-venv"
    run(
        *("unshare", "--mount", "sh", "-c", script, "sh", scratch / "root"),
        *("--quiet", "--variant=minbase", f"--include={packages}"),
        *(BASE_RELEASE, target / "base.tar"),
        env={"TMPDIR": str(scratch)},
    )


def install_npm(target: Path, _scratch: Path) -> None:
    """Install `NPM_PACKAGES` into `target/node_modules`; npm compares the checksums."""
    wanted = {name: version for name, (version, _) in NPM_PACKAGES.items()}
    pinned = {
        f"node_modules/{name}": {"version": version, "integrity": integrity}
        for name, (version, integrity) in NPM_PACKAGES.items()
    }
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": wanted}, **pinned}}
    (target / "package.json").write_text(json.dumps({"dependencies": wanted}), encoding="utf-8")
    (target / "package-lock.json").write_text(json.dumps(lock), encoding="utf-8")
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=target)


def _probe_podman(folder: Path) -> str:
    """Say which one; that it runs here is seen when a test starts it."""
    (name,) = (line for line in (folder / "packages.txt").open() if line.startswith("podman_"))
    return name.strip()


def _probe_base(folder: Path) -> str:
    return f"{(folder / 'base.tar').stat().st_size} bytes"


def _go_tool(name: str, program: GoProgram, expect: str, *version: str) -> Backend:
    """Return a tool that Go builds, and that prints its version when it is called with *version*."""
    (binary,) = program.packages

    def probe(folder: Path) -> str:
        return run(folder / "bin" / binary, *version).strip()

    build = partial(build_go, program)
    return Backend(
        name=name, version=program.version, tools=("go",), expect=expect, build=build, probe=probe
    )


def _probe_schema(folder: Path) -> str:
    return "TypeScript " + run("node", folder / "node_modules/typescript/bin/tsc", "-v").strip()


TOOLS: Final[dict[str, Backend]] = {
    tool.name: tool
    for tool in (
        Backend(
            name="podman",
            version=distribution(),
            tools=("apt-get", "dpkg-deb", "unshare", "nsenter", "mount"),
            expect="some seconds",
            build=partial(unpack_debian, ("podman", "buildah", "crun", "iproute2")),
            probe=_probe_podman,
        ),
        Backend(
            name="python-base",
            version=f"{BASE_PYTHON}-{BASE_RELEASE}",
            tools=("apt-get", "dpkg-deb", "perl", "unshare", "mount"),
            expect="about 30 seconds",
            build=build_base,
            probe=_probe_base,
        ),
        _go_tool(
            "compose",
            COMPOSE,
            "about 2 minutes on two cores, for the time being 0.8 GB of disk",
            "version",
        ),
        _go_tool("kustomize", KUSTOMIZE, "about a minute on two cores", "version"),
        _go_tool("helm", HELM, "about 2 minutes on two cores", "version", "--short"),
        Backend(
            name="grafana-schema",
            version=GRAFANA_VERSION,
            tools=("npm", "node"),
            expect="some seconds",
            build=install_npm,
            probe=_probe_schema,
        ),
    )
}


if __name__ == "__main__":
    run_as_script(TOOLS)
