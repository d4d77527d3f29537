"""A headless browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class BrowserMissingError(Exception):
    """No browser is installed; the message says what to install."""


class Browser:
    """The first browser on PATH, with a profile in ``folder``."""

    def __init__(self, folder: Path) -> None:
        found = next((path for name in _NAMES if (path := shutil.which(name))), None)
        if found is None:
            raise BrowserMissingError(f"none of {', '.join(_NAMES)} is on PATH; for example: apt-get install chromium")
        self._command = [found, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]

    def document(self, url: str) -> str:
        """Open a URL of this machine, run its scripts and return the document that results, on one line."""
        options = ["--disable-background-networking", "--virtual-time-budget=10000", "--dump-dom"]
        done = subprocess.run([*self._command, *options, url], capture_output=True, text=True, timeout=120, check=True)
        return re.sub(r"\s+", " ", done.stdout)
