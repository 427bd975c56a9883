"""Podman, without installing it: build the image and run it as a container engine would.

What `tools/deploy_tools.py` unpacked is laid over the machine's files in namespaces of its own, so
that nothing of the machine changes and nothing stays. They have a network of their own, too, with a
loopback only: the ports of the image and of `compose.yaml` are free there, whatever runs outside.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any, Final, cast

PATIENCE_S: Final = 60.0
BUILD_S: Final = 900.0
# Debian's Python stands in for the official image's: the paths differ, and nothing asks for them.
BASE_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SETUP: Final = """
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$2/etc:$1/etc:/etc" /etc
mount -t tmpfs tmpfs /run
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi  # crun is at a loss
ip link set lo up
echo ready
cat  # until the process that could write here has ended, in whatever way
exit  # and with this one everything else in here ends
"""


class EngineError(Exception):
    """The engine could not do it; the text has what it said."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Podman inside its namespaces."""

    pid: int
    folder: Path

    def podman(self, *words: str | Path, network: bool = False) -> str:
        """Run podman to its end and return its stdout; with *network*, as the machine has it."""
        limit_s = BUILD_S if words[0] == "build" else PATIENCE_S
        ended = subprocess.run(
            [*self._inside(network=network), "podman", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
        if ended.returncode != 0:
            tail = "\n".join((ended.stdout + ended.stderr).splitlines()[-30:])
            raise EngineError(f"podman {words[0]} ended with {ended.returncode}:\n{tail}")
        return ended.stdout

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script beside the containers, on the same loopback."""
        return subprocess.run(
            [*self._inside(), "bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    @contextmanager
    def start(self, *words: str) -> Iterator[IO[str]]:
        """Run a command beside the containers until the end of the `with` block; gives its stdout."""
        command = [*self._inside(), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
            try:
                yield cast("IO[str]", started.stdout)
            finally:
                started.kill()

    def build(self, context: Path, tag: str, *options: str) -> None:
        """Build an image; its steps reach packages as this machine's pip does."""
        self.podman(
            *("build", "--pull=never", "--format=docker", "--network=host", f"--tag={tag}"),
            *(f"--volume={source}:{target}:ro" for source, target in self._pip_files()),
            *options,
            context,
            network=True,
        )

    @contextmanager
    def run(self, image: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[Container]:
        """Run a container until the end of the `with` block."""
        fixed = ("--network=host", "--pull=never", "--read-only-tmpfs=false")
        name = self.podman("create", *fixed, *options, image, *command).strip()
        container = Container(self, name)
        try:
            self.podman("start", name)
            yield container
        finally:
            self.podman("rm", "--force", "--time=0", "--volumes", name)

    def _inside(self, *, network: bool = False) -> list[str]:
        spaces = ["--mount", "--pid"] if network else ["--mount", "--pid", "--net"]
        return ["nsenter", f"--target={self.pid}", *spaces, "--"]

    def _pip_files(self) -> Iterator[tuple[Path, Path]]:
        """Give what pip needs here, an index or a certificate authority: (outside, inside)."""
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            check=True,
        )
        settings = {}
        for line in listed.stdout.splitlines():
            key, _, text = line.partition("=")
            settings[key.rpartition(".")[2]] = text.strip("'\"")
        lines = ["[global]"]
        for name in ("index-url", "extra-index-url", "trusted-host", "proxy", "cert"):
            if value := settings.get(name):
                lines.append(f"{name} = {value}")
                if name == "cert":
                    yield Path(value), Path(value)
        (self.folder / "pip.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield self.folder / "pip.conf", Path("/etc/pip.conf")


@dataclass(frozen=True, slots=True)
class Container:
    """A container that was started."""

    engine: Engine
    name: str

    def exec(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self.engine.shell(shlex.join(["podman", "exec", self.name, *words]))

    @property
    def is_healthy(self) -> bool:
        """Run its own health check once."""
        return self.engine.shell(f"podman healthcheck run {self.name}").returncode == 0

    def wait_until_healthy(self) -> None:
        """Wait for the first health check that is happy."""
        end = time.monotonic() + PATIENCE_S
        while not self.is_healthy:
            if time.monotonic() > end or self.state["Status"] != "running":
                raise EngineError(f"never healthy: {self.state}\n{self.logs()}")
            time.sleep(0.1)

    @property
    def state(self) -> dict[str, Any]:
        """What the engine knows of it."""
        (found,) = json.loads(self.engine.podman("inspect", self.name))
        state: dict[str, Any] = found["State"]
        return state

    def logs(self) -> str:
        """Give all that it has written, standard error included."""
        return self.engine.shell(f"podman logs {self.name} 2>&1").stdout

    def stop(self) -> int:
        """Stop it as `docker stop` does, 10 seconds of grace included; gives the exit status."""
        self.engine.podman("stop", "--time=10", self.name)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; gives the exit status."""
        return int(self.engine.podman("wait", self.name))


@contextmanager
def container_engine(podman: Path, base: Path, base_tag: str) -> Iterator[Engine]:
    """Start an engine whose only image is *base*, until the end of the `with` block."""
    folder = Path(mkdtemp(prefix="sonda-containers-"))
    _configure(folder)
    holder = subprocess.Popen(
        [
            *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-euc", SETUP, "sh", podman / "root", folder),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if holder.stdout is None or holder.stdout.readline() != "ready\n":
            raise EngineError("no namespaces, or no overlay mounts: see what was printed above")
        (pid,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        engine = Engine(int(pid), folder)
        engine.podman("import", "--quiet", f"--change=ENV {BASE_PATH}", base, base_tag)
        yield engine
    finally:
        holder.communicate()
        shutil.rmtree(folder)


def _configure(folder: Path) -> None:
    """Write the files that the engine reads below /etc."""
    settings = folder / "etc" / "containers"
    settings.mkdir(parents=True)
    # It would raise the limits, which not every root may.
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    ulimits = []
    for name, number in limits.items():
        hard = resource.getrlimit(number)[1]
        value = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
        ulimits.append(f"{name}={value}:{value}")
    (settings / "containers.conf").write_text(
        f"[containers]\ndefault_ulimits = {json.dumps(ulimits)}\n"
        '[engine]\nruntime = "crun"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n',
        encoding="utf-8",
    )
    (settings / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/images"\nrunroot = "/run/images"\n',
        encoding="utf-8",
    )
    # Where it is a link, it may point below /run.
    resolv = Path("/etc/resolv.conf")
    if resolv.exists():
        shutil.copyfile(resolv, folder / "etc" / "resolv.conf")


def is_root() -> bool:
    """Say whether this process may make the namespaces."""
    return os.geteuid() == 0
