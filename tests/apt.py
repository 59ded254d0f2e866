"""Debian's packages for tests that need a program which is not Python's."""

import os
import shutil
import subprocess
from collections.abc import Sequence


def lacking(programs: Sequence[str], packages: Sequence[str]) -> str:
    """Install what brings the programs, as root, where they are not here; why they still are not, empty if they are."""
    said = ""
    if not all(map(shutil.which, programs)):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            return f"{', '.join(packages)} are not here, and only root can install them, by apt-get"
        install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (install, ["apt-get", "update"], install):
            found = subprocess.run(words, env=environment, capture_output=True, text=True)
            said = found.stderr.strip()[-200:]
            if words == install and found.returncode == 0:
                break
    return "" if all(map(shutil.which, programs)) else f"apt-get cannot install {', '.join(packages)}: {said}"


def asked_for(variable: str) -> bool:
    """Whether packages may be installed here: in CI, or where an environment variable says so."""
    return os.environ.get("CI") == "true" or os.environ.get(variable) == "1"
