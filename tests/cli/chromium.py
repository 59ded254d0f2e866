"""A headless Chromium, driven by selenium; installed by apt where that was asked for."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

PACKAGES = ("chromium", "chromium-driver")
PROGRAMS = ("chromium", "chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
)


def why_not() -> str:
    """Why there is no browser here; empty if there is one, installed where CI=true or ZZ_TEST_BROWSER=1 asks for it."""
    if not find_spec("selenium"):
        return "selenium is not installed"
    asked = os.environ.get("CI") == "true" or os.environ.get("ZZ_TEST_BROWSER") == "1"
    if not all(map(shutil.which, PROGRAMS)) and asked and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (install, ["apt-get", "update"], install):
            found = subprocess.run(words, env=environment, capture_output=True, text=True)
            if words == install and found.returncode == 0:
                break
    if not all(map(shutil.which, PROGRAMS)):
        return f"{' and '.join(PROGRAMS)} are not here; ZZ_TEST_BROWSER=1 installs them by apt, as root"
    return ""


@contextmanager
def chromium(width: int, height: int) -> Iterator[object]:
    """A driver whose window has that many pixels; it keeps the console's lines."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    for one in OPTIONS:
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # a window is never as narrow as a phone
        yield driver
    finally:
        driver.quit()
