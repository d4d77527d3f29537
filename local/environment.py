"""Make the environment .venv and install packages into it; ``make`` and ``./imagelake`` run this file.

The Python that runs it has no packages and may be too old for the project, so this file avoids newer syntax. The
files ``.venv/local`` and ``.venv/dev`` record which requirements are installed; those of ``dev`` include ``local``.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
# Python compiles a module when it first imports it. Compiling all modules takes 120 MB and 10 s.
_PIP = ("install", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--no-compile")
_SHOWN_LINES = 5
# Packages whose own tests take 28 MB.
_WITH_TESTS = ("numpy", "pandas", "pyarrow")


def main(name: str) -> int:
    """Install the requirements called ``name``, if they are not; return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the reason of this check
        print(f"Imagelake needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    requirements, record = ROOT / "requirements" / f"{name}.txt", ENVIRONMENT / name
    if not is_installed(requirements, record):
        code = _make_environment() or _install(requirements)
        if code:
            return code
        _remove_tests()
    record.touch()
    return 0


def is_installed(requirements: Path, record: Path) -> bool:
    """Tell if the requirements have not changed since they were installed."""
    records = (record, record.with_name("dev"))
    return any(one.exists() and one.stat().st_mtime > requirements.stat().st_mtime for one in records)


def _make_environment() -> int:
    if (ENVIRONMENT / "bin" / "pip").exists():
        return 0
    return subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=False).returncode


def _install(requirements: Path) -> int:
    """Run pip and count the packages that it has collected."""
    total = len(re.findall(r"^[\w.\[\]-]+==", requirements.read_text(), re.MULTILINE))
    print(f"Installing {total} packages into {ENVIRONMENT}, only this time; it takes about a minute", flush=True)
    command = [
        str(ENVIRONMENT / "bin" / "python"),
        "-m",
        "pip",
        *_PIP,
        "--progress-bar",
        "off",
        "-r",
        str(requirements),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    collected = 0
    lines: list[str] = []
    for line in process.stdout:
        lines = [*lines[-_SHOWN_LINES:], line]
        collected += line.startswith("Collecting ")
        _show("unpacking them" if line.startswith("Installing ") else f"{collected} of {total}")
    _show("")
    if process.wait():
        print("".join(lines), end="", file=sys.stderr)
        print(f"error: pip could not install {requirements}", file=sys.stderr)
    return process.returncode


def _remove_tests() -> None:
    for package in ENVIRONMENT.glob("lib/python*/site-packages/*"):
        if package.name in _WITH_TESTS:
            # A list, because the folders below a removed one are gone.
            for folder in list(package.rglob("tests")):
                shutil.rmtree(folder, ignore_errors=True)


def _show(state: str) -> None:
    # A terminal shows one line that changes; a log would get a line for each package.
    if sys.stdout.isatty():
        print(f"\r\033[K{state}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
