"""A headless Chromium, driven by selenium; installed by apt where that was asked for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from tests.apt import asked_for, lacking

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
    if not all(map(shutil.which, PROGRAMS)) and not asked_for("ZZ_TEST_BROWSER"):
        return f"{' and '.join(PROGRAMS)} are not here; ZZ_TEST_BROWSER=1 installs them by apt, as root"
    return lacking(PROGRAMS, PACKAGES)


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
