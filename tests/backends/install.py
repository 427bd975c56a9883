"""Install the real destinations that `tests/backends/` sends to, once, outside the tree.

    python3 tests/backends/install.py            # all of them
    python3 tests/backends/install.py loki       # only these

They land in `$SONDA_BACKENDS`, by default `${XDG_CACHE_HOME:-~/.cache}/sonda/backends`, one folder
per backend and version. A folder with its final name is complete: everything is made under another
name and renamed at the end, so a run that finds it has nothing to do. A tool that the machine lacks
is a printed reason, and with `CI` set also a failing exit code; any other failure always is one.

To add a backend, write a function that fills a folder, and add a `Backend` to `BACKENDS`. Only the
standard library is used: this runs before anything else is installed.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn, TypeAlias

STAMP: Final = "installed.json"
TOOL_TIMEOUT_S: Final = 3600.0
PROBE_TIMEOUT_S: Final = 60.0


class InstallError(Exception):
    """A backend could not be installed; the text says why."""


class MissingToolError(InstallError):
    """The machine lacks a tool that the installation needs."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One destination: how to make it, and how to see that what was made can run."""

    name: str
    version: str
    tools: tuple[str, ...]
    expect: str  # how long a cold run takes, for the person who waits
    build: Callable[[Path, Path], None]  # (folder to fill, scratch folder, deleted afterwards)
    probe: Callable[[Path], str]  # says what is installed, or raises `InstallError`


# --- where things are ----------------------------------------------------------------------------


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds the installed backends."""
    if chosen := environ.get("SONDA_BACKENDS"):
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "sonda" / "backends"


def find(name: str) -> Path | None:
    """Return the folder of an installed backend, or None when its pinned version is not there."""
    folder = _folder(BACKENDS[name])
    return folder if (folder / STAMP).is_file() else None


def _folder(backend: Backend) -> Path:
    return cache_root() / backend.name / backend.version


# --- running tools -------------------------------------------------------------------------------


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = TOOL_TIMEOUT_S,
) -> str:
    """Run a command to its end and return its stdout; a failure shows the end of its output."""
    words = [str(word) for word in command]
    try:
        tool = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, to end it with all that it has started
        )
    except OSError as exc:
        raise InstallError(f"{words[0]}: {exc.strerror}") from exc
    with tool:
        try:
            out, err = tool.communicate(timeout=timeout_s)
        except BaseException as exc:
            with suppress(ProcessLookupError):
                os.killpg(tool.pid, signal.SIGKILL)
            if isinstance(exc, subprocess.TimeoutExpired):
                raise InstallError(f"{words[0]} did not end within {timeout_s:.0f} s") from exc
            raise
    if tool.returncode != 0:
        tail = "\n".join((out + err).strip().splitlines()[-15:])
        raise InstallError(f"`{' '.join(words[:4])} …` ended with {tool.returncode}:\n{tail}")
    return out


# --- programs built from the Go module proxy -----------------------------------------------------

NO_DEBUGGING: Final = "-gcflags=all=-dwarf=false"
"""What the linker would drop is not compiled either: it is a tenth of the time."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """Programs of one Go module at one version, with the checksums that this version must have."""

    module: str
    version: str
    zip_sum: str
    mod_sum: str
    packages: Mapping[str, str]  # name of the executable -> package below the module
    ldflags: str = "-s -w"


def build_go(program: GoProgram, target: Path, scratch: Path) -> None:
    """Build the programs into `target/bin`.

    `go install package@version` refuses a module that has `replace` lines, so a small module of our
    own requires it and repeats those lines. The ones that point into the module's own tree cannot
    be repeated, and need not be: the version that it requires is published. Downloads are held
    against the checksums pinned here and the module's own `go.sum`, also where no checksum database
    can be reached.
    """
    temporary = scratch / "tmp"
    temporary.mkdir()
    env = {**_go_caches(scratch), "GOTMPDIR": str(temporary), "GOWORK": "off"}
    wanted = f"{program.module}@{program.version}"
    # Outside a module go.sum is not consulted, hence the comparison by hand.
    home = scratch / "build"
    home.mkdir()
    found = json.loads(
        run("go", "mod", "download", "-modcacherw", "-json", wanted, cwd=home, env=env)
    )
    for kind, pinned in (("Sum", program.zip_sum), ("GoModSum", program.mod_sum)):
        if found[kind] != pinned:
            raise InstallError(f"{wanted}: {kind} is {found[kind]}, pinned is {pinned}")
    theirs = json.loads(run("go", "mod", "edit", "-json", found["GoMod"], cwd=home, env=env))
    (home / "go.mod").write_text(_go_mod(program, theirs), encoding="utf-8")
    sums = Path(found["Dir"], "go.sum").read_text(encoding="utf-8")
    sums += f"{program.module} {program.version} {program.zip_sum}\n"
    sums += f"{program.module} {program.version}/go.mod {program.mod_sum}\n"
    (home / "go.sum").write_text(sums, encoding="utf-8")
    for executable, package in program.packages.items():
        run(
            *("go", "build", "-mod=mod", "-modcacherw", "-trimpath", NO_DEBUGGING),
            f"-ldflags={program.ldflags}",
            *("-o", target / "bin" / executable, f"{program.module}/{package}"),
            cwd=home,
            env={**env, "CGO_ENABLED": "0"},
        )


def build_go_module(source: Path, executable: str, target: Path, scratch: Path) -> None:
    """Build a program of our own, whose `go.mod` and `go.sum` pin all that it is made of."""
    temporary, home = scratch / "tmp", scratch / "build"
    temporary.mkdir()
    shutil.copytree(source, home)
    run(
        *("go", "build", "-mod=readonly", "-modcacherw", "-trimpath", NO_DEBUGGING),
        "-ldflags=-s -w",
        *("-o", target / "bin" / executable, "."),
        cwd=home,
        env={
            **_go_caches(scratch),
            "GOTMPDIR": str(temporary),
            "GOWORK": "off",
            "CGO_ENABLED": "0",
        },
    )


def _go_caches(scratch: Path) -> dict[str, str]:
    """Keep Go's gigabytes in the scratch folder, unless the environment has a place for them.

    The compiler collects its garbage less often, for half as much memory again and a tenth less time.
    """
    ours = {
        "GOCACHE": str(scratch / "go-build"),
        "GOMODCACHE": str(scratch / "go-mod"),
        "GOGC": "400",
    }
    return {name: value for name, value in ours.items() if name not in os.environ}


@contextmanager
def _shared_go_caches() -> Iterator[None]:
    """Let the programs of one run share what they have in common, and remove it at the end."""
    cache_root().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".go-", dir=cache_root()))
    ours = _go_caches(folder)
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
        _remove(folder)


def _go_mod(program: GoProgram, theirs: dict[str, Any]) -> str:
    lines = ["module sonda.test/backend", f"go {theirs['Go']}"]
    lines += [f"require {program.module} {program.version}"]
    for replace in theirs["Replace"] or []:
        old, new = replace["Old"], replace["New"]
        if "Version" in new:  # without one it is a folder of their tree
            lines.append(f"replace {' '.join(old.values())} => {new['Path']} {new['Version']}")
    lines += [f"exclude {out['Path']} {out['Version']}" for out in theirs["Exclude"] or []]
    return "\n".join(lines) + "\n"


# --- programs from a Maven repository ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JavaProgram:
    """Artifacts that make up a program, as `group:artifact:version`."""

    artifacts: tuple[str, ...]


def fetch_java(program: JavaProgram, target: Path, scratch: Path) -> None:
    """Fetch the artifacts, with all that they need, into `target/libs`.

    Maven holds each download against the checksum beside it in the repository.
    """
    (scratch / "pom.xml").write_text(_pom(program), encoding="utf-8")
    run(
        *("mvn", "--batch-mode", "--quiet", "--strict-checksums"),
        f"-Dmaven.repo.local={scratch / 'repository'}",
        *("dependency:copy-dependencies", f"-DoutputDirectory={target / 'libs'}"),
        cwd=scratch,
    )


def _pom(program: JavaProgram) -> str:
    tags = ("groupId", "artifactId", "version")
    artifacts = [
        "".join(f"<{tag}>{text}</{tag}>" for tag, text in zip(tags, name.split(":"), strict=True))
        for name in program.artifacts
    ]
    dependencies = "".join(f"<dependency>{artifact}</dependency>" for artifact in artifacts)
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>sonda.test</groupId><artifactId>backend</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


# --- programs from Debian's packages -------------------------------------------------------------


def unpack_debian(packages: tuple[str, ...], target: Path, scratch: Path) -> None:
    """Unpack packages, and those of their dependencies that the machine lacks, into `target/root`.

    Nothing is installed: no root is needed, no service starts, and apt's own state stays as it is,
    because its lists and downloads are in the scratch folder. As ever, apt checks what it downloads
    against the signed lists.
    """
    lists, archives = scratch / "lists", scratch / "archives"
    for folder in (lists / "partial", archives / "partial"):
        folder.mkdir(parents=True)
    options = (
        f"Dir::State::Lists={lists}",
        f"Dir::Cache={scratch}",
        f"Dir::Cache::archives={archives}",
        "Debug::NoLocking=true",  # the locks are root's, and what they guard is only read here
        "APT::Sandbox::User=",  # else root's apt downloads as a user who cannot write here
        "Acquire::Retries=3",
        "Acquire::Languages=none",
    )
    apt = ("apt-get", "-q", "-y", *(word for option in options for word in ("-o", option)))
    env = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    run(*apt, "update", env=env)
    # Reinstall: also a package that is installed on this machine has to come into the folder.
    fetch = ("install", "--download-only", "--reinstall", "--no-install-recommends")
    run(*apt, *fetch, *packages, env=env)
    files = sorted(archives.glob("*.deb"))
    if not files:
        raise InstallError(f"apt-get downloaded nothing for {', '.join(packages)}")
    for file in files:
        run("dpkg-deb", "-x", file, target / "root")
    names = "".join(f"{file.name}\n" for file in files)
    (target / "packages.txt").write_text(names, encoding="utf-8")


def distribution() -> str:
    """Name the machine's release, such as `debian-12-x86_64`: packages fit no other one."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    name, number = release.get("ID", "unknown"), release.get("VERSION_ID", "rolling")
    return f"{name}-{number}-{platform.machine()}"


# --- the backends --------------------------------------------------------------------------------

LOKI: Final = GoProgram(
    module="github.com/grafana/loki/v3",
    version="v3.7.8",
    zip_sum="h1:bJ0WFWVOjgvG/jYmT9fIX15SYXXDwuEu/IMgTwMA97U=",
    mod_sum="h1:SubN2HoviBLMmtr/jiMLom/3l3I9CIl8NvWIAEVa2C0=",
    packages={"loki": "cmd/loki"},
    ldflags="-s -w -X github.com/grafana/loki/v3/pkg/util/build.Version=3.7.8",
)


VICTORIA: Final = GoProgram(
    module="github.com/VictoriaMetrics/VictoriaMetrics",
    version="v1.121.0",  # the last one that has both: the logs server moved out after it
    zip_sum="h1:GlM6ZYEE1p6hh1xTSQnLVHWnmWmlbgqa4EyBxBSm1/k=",
    mod_sum="h1:4mOnv7LsAxpPHady8OheQ2ZTTm5tRIDxcPnDLVZ9cJY=",
    packages={
        "victoria-metrics": "app/victoria-metrics",
        "victoria-logs": "app/victoria-logs",
    },
    ldflags=("-s -w -X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=v1.121.0"),
)


# A collector is put together from the parts that one wants; this is the list of ours.
COLLECTOR: Final = Path(__file__).parent / "collector_program"
COLLECTOR_VERSION: Final = "v0.160.0"

KAFKA: Final = JavaProgram(
    (
        "org.apache.kafka:kafka_2.13:4.3.1",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    )
)


Command: TypeAlias = tuple[tuple[str, ...], dict[str, str]]
"""How to call a program: its words, and what its environment needs."""


def program(folder: Path, path: str, *arguments: str) -> Command:
    """Return how to call a program of an installed backend, with the libraries unpacked beside it."""
    libraries = sorted({str(file.parent) for file in (folder / "root").glob("**/lib*.so*")})
    env = {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}
    return (str(folder / path), *arguments), env


# The program itself: the script in /usr/bin would look for it in /usr/lib.
CHROMIUM: Final = ("root/usr/lib/chromium/chromium", "--version")


def rsyslog_command(folder: Path) -> Command:
    """Return how to call the unpacked rsyslogd, which finds its plug-ins by an option."""
    plugins = next((file.parent for file in folder.glob("root/**/rsyslog/lmnsd_gtls.so")), None)
    if plugins is None:
        raise InstallError(f"no rsyslog plug-in for TLS below {folder}")
    return program(folder, "root/usr/sbin/rsyslogd", f"-M{plugins}")


def kafka_command(folder: Path, main: str, *arguments: str) -> Command:
    """Return how to call one of Kafka's programs by its main class, small and quick to start."""
    java = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    return (*java, "-cp", f"{folder}/libs/*", main, *arguments), {}


def _probe_kafka(folder: Path) -> str:
    words, _ = kafka_command(folder, "kafka.tools.StorageTool", "random-uuid")
    run(*words, timeout_s=PROBE_TIMEOUT_S)
    return ", ".join(sorted(jar.stem for jar in folder.glob("libs/kafka_*.jar")))


def _probe(*programs: tuple[str, str]) -> Callable[[Path], str]:
    """Make a probe of programs, each with the argument for which it prints its version."""

    def probe(folder: Path) -> str:
        return ", ".join(_says(program(folder, *words)) for words in programs)

    return probe


def _probe_rsyslog(folder: Path) -> str:
    words, env = rsyslog_command(folder)
    return _says(((*words, "-v"), env))


def _probe_wrk(folder: Path) -> str:
    # Asked for its version it also prints its usage, and ends with 1.
    words, env = program(folder, "root/usr/bin/wrk", "-v")
    printed = run("sh", "-c", '"$@" || true', "sh", *words, env=env, timeout_s=PROBE_TIMEOUT_S)
    if not printed.startswith("wrk "):
        raise InstallError(f"{words[0]} does not run")
    return printed.partition(" [")[0]


def _says(command: Command) -> str:
    words, env = command
    printed = run(*words, env=env, timeout_s=PROBE_TIMEOUT_S)
    return printed.partition("\n")[0] or f"{Path(words[0]).name} runs"


def _debian(name: str, *packages: str, probe: Callable[[Path], str]) -> Backend:
    return Backend(
        name=name,
        version=distribution(),  # a release has one version of it
        tools=("apt-get", "dpkg-deb"),
        expect="some seconds",
        build=partial(unpack_debian, packages or (name,)),
        probe=probe,
    )


BACKENDS: Final[dict[str, Backend]] = {
    backend.name: backend
    for backend in (
        _debian("rsyslog", "rsyslog", "rsyslog-gnutls", probe=_probe_rsyslog),
        _debian("influxdb", probe=_probe(("root/usr/bin/influxd", "version"))),
        _debian(
            "prometheus-pushgateway",
            probe=_probe(("root/usr/bin/prometheus-pushgateway", "--version")),
        ),
        _debian("prometheus", probe=_probe(("root/usr/bin/prometheus", "--version"))),
        _debian("zsh", "zsh", "zsh-common", probe=_probe(("root/bin/zsh", "--version"))),
        _debian("fish", "fish", "fish-common", probe=_probe(("root/usr/bin/fish", "--version"))),
        _debian("logrotate", probe=_probe(("root/usr/sbin/logrotate", "--version"))),
        _debian("wrk", probe=_probe_wrk),  # no destination: the load of `make bench`
        Backend(
            name="kafka",
            version="4.3.1",
            tools=("mvn", "java"),
            expect="about 15 seconds",
            build=partial(fetch_java, KAFKA),
            probe=_probe_kafka,
        ),
        _debian("chromium", probe=_probe(CHROMIUM)),
        Backend(
            name="victoria",
            version=VICTORIA.version,
            tools=("go",),
            expect="about 2 minutes on two cores, for the time being 0.5 GB of disk",
            build=partial(build_go, VICTORIA),
            probe=_probe(("bin/victoria-metrics", "-version"), ("bin/victoria-logs", "-version")),
        ),
        Backend(
            name="loki",
            version=LOKI.version,
            tools=("go",),
            expect="about 7 minutes on two cores, 2.3 GB of memory, for the time being 5 GB of disk",
            build=partial(build_go, LOKI),
            probe=_probe(("bin/loki", "-version")),
        ),
        Backend(
            name="collector",
            version=COLLECTOR_VERSION,
            tools=("go",),
            expect="about 2 minutes on two cores, for the time being 1 GB of disk",
            build=partial(build_go_module, COLLECTOR, "collector"),
            probe=_probe(("bin/collector", "--version")),
        ),
    )
}


# --- installing ----------------------------------------------------------------------------------


def install(backend: Backend) -> str:
    """Install a backend unless it is there, and return one line about it; or `InstallError`."""
    folder = _folder(backend)
    if found := _working(backend, folder):
        return f"there already ({found})"
    if missing := [tool for tool in backend.tools if shutil.which(tool) is None]:
        raise MissingToolError(f"this machine lacks {' and '.join(missing)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent):
        if found := _working(backend, folder):  # another run has made it while this one waited
            return f"there already ({found})"
        say(f"{backend.name} {backend.version}: installing into {folder} ({backend.expect})")
        started = time.monotonic()
        staging = folder.parent / ".staging"
        try:
            _remove(staging)  # of a run that was killed
            target, scratch = staging / "target", staging / "scratch"
            target.mkdir(parents=True)
            scratch.mkdir()
            backend.build(target, scratch)
            found = backend.probe(target)
            took_s = time.monotonic() - started
            stamp = {"version": backend.version, "found": found, "took_s": round(took_s, 1)}
            (target / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
            if folder.exists():  # it does not run, or it would have been found above
                folder.rename(staging / "old")
            target.rename(folder)
        finally:
            _remove(staging)
    return f"installed in {time.monotonic() - started:.0f} s ({found})"


def _working(backend: Backend, folder: Path) -> str | None:
    """Probe an installed backend: a cache that came from another machine may not run here."""
    if not (folder / STAMP).is_file():
        return None
    try:
        return backend.probe(folder)
    except InstallError as exc:
        say(f"{backend.name} {backend.version}: there, but it does not run; making it anew: {exc}")
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold off a second run that wants to make the same backend."""
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def say(line: str) -> None:
    """Print at once: a person or a CI log is waiting."""
    print(line, flush=True)  # noqa: T201 - a script talks by printing


def main(names: list[str], table: Mapping[str, Backend] | None = None) -> int:
    """Install the named backends, or all; one that fails does not hold up the others."""
    backends = BACKENDS if table is None else table
    if unknown := [name for name in names if name not in backends]:
        say(f"unknown backend: {', '.join(unknown)}; there are: {', '.join(backends)}")
        return 2
    strict = bool(os.environ.get("CI"))
    lacking: list[str] = []
    failed: list[str] = []
    with _shared_go_caches():
        for name in names or list(backends):
            backend = backends[name]
            try:
                say(f"{name} {backend.version}: {install(backend)}")
            except InstallError as exc:
                (lacking if isinstance(exc, MissingToolError) else failed).append(name)
                say(f"{name} {backend.version}: NOT installed: {exc}")
    if lacking or failed:
        consequence = "and CI needs them" if strict else "their tests will be skipped"
        say(f"not installed: {', '.join(lacking + failed)}; {consequence}")
    return 1 if failed or (lacking and strict) else 0


def run_as_script(table: Mapping[str, Backend] | None = None) -> NoReturn:
    """Install what the command line names; SIGTERM leaves nothing half done."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:], table))


def _stop(signum: int, _frame: FrameType | None) -> None:
    # An exception, so that the tool is ended and the scratch folder removed.
    sys.exit(128 + signum)


if __name__ == "__main__":
    run_as_script()
