"""The page of `zz.report` in a browser: sort, filter, slider, keys, links, baselines; how soon and how large."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import zz.report
from tests.cli.chromium import chromium, why_not
from tests.make import drawn, job
from zz.data.base import Prompt, PromptList
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.store.store import Store
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds

pytestmark = [pytest.mark.ci, pytest.mark.timeout(600)]

N = 600
COLOURS, SHAPES = ("red", "blue", "green", "orange", "purple", "black"), ("circle", "star", "square", "triangle")
TAGS = ("single", "two_object", "counting", "position")
SCORERS = (LogOdds(), Atypicality())
SHOTS = os.environ.get("ZZ_TEST_SHOTS")  # a folder where screenshots are kept


def prompt(i):
    meta = {"tag": TAGS[i % 4], "nsfw": i % 50 == 7}
    return Prompt(f"a photo of a {COLOURS[i % 6]} {SHAPES[i // 6 % 4]} beside number {i}", meta, i)


def picture(i, k):
    """A shape, nearly the same in each row."""
    image = Image.new("RGB", (32, 32), "white")
    draw, at = ImageDraw.Draw(image), 4 + (i * 7 + k * 3) % 10
    box, colour = (at, at, at + 14 + k, at + 14 + k), COLOURS[i % 6]
    kind = SHAPES[i // 6 % 4]
    if kind == "circle":
        draw.ellipse(box, fill=colour)
    elif kind == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.regular_polygon((16, 16, 9 + k), 3 if kind == "triangle" else 5, fill=colour)
    noise = np.random.default_rng(1000 * k + i).normal(0, 6, (32, 32, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def scores(k):
    """Of the rows 0, 1, 2: the second score is against the first where the first gains most."""
    random = np.random.default_rng(k)
    base = np.random.default_rng(99).normal(0, 2, N)
    return {"log_odds": base + 0.4 * k + random.normal(0, 1, N), "atypicality": 1 + 0.05 * k + random.gamma(2, 0.1, N)}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a zigzag and two controls over 600 prompts, and what the command printed."""
    folder = tmp_path_factory.mktemp("browser")
    prompts = PromptList("shapes", tuple(map(prompt, range(N))))
    ours, values = job(sampler=Zigzag(2.0, 0.0)), [scores(k) for k in range(3)]
    jobs = {"asked": ours, **ours.controls(("standard", "guidance_matched"))}
    drawn(Store(folder / "store"), prompts, jobs, picture, lambda i, k, s: float(values[k][s.name][i]), SCORERS)
    return folder


@pytest.fixture(scope="module")
def made(page):
    """The page's path, its bytes, and the seconds that it took."""
    import sys

    started, given = time.perf_counter(), sys.argv
    path = page / "report.html"
    sys.argv = ["zz.report", f"store={page / 'store'}", f"out={path}"]
    try:
        assert zz.report.main() == 0
    finally:
        sys.argv = given
    return path, path.stat().st_size, time.perf_counter() - started


@pytest.fixture(scope="module")
def driver(made):
    if reason := why_not():
        pytest.skip(reason)
    with chromium(1280, 800) as found:
        yield found


@pytest.fixture
def opened(driver, made):
    """The page, its browser closed; afterwards its console has said nothing."""
    driver.get("about:blank")
    driver.get(made[0].as_uri())
    yield driver
    lines = [line for line in driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
    assert lines == []


def js(driver, code, *args):
    return driver.execute_script(code, *args)


def press(driver, keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(keys).perform()


def choose(driver, id, text):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element(By.ID, id)).select_by_visible_text(text)


def click(driver, selector):
    from selenium.webdriver.common.by import By

    driver.find_element(By.CSS_SELECTOR, selector).click()


def shot(driver, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        time.sleep(0.3)
        driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))


def selected(driver):
    """The differences and the prompt of the item that is chosen."""
    return js(driver, "return document.querySelector('.item[aria-selected=true] div').innerText").split("\n")


def text(driver, selector):
    return js(driver, "return document.querySelector(arguments[0]).textContent", selector)


def truth(score, other=2):
    """Row 0 less another one, by entry; the rows are zigzag, standard, guidance-matched."""
    return scores(0)[score] - scores(other)[score]


def until(found, seconds=5):
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return value


def test_it_is_soon_there_and_of_one_file(opened, made, capsys):
    _, size, seconds = made
    painted = until(lambda: js(opened, "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
    whole = js(opened, "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd")
    said = f"{size / 1e6:.2f} MB, {seconds:.1f} s to make, {painted:.0f} ms to paint, {whole:.0f} ms to load"
    with capsys.disabled():
        print(f"\n3 x {N} pictures: {said}")  # noqa: T201
    assert painted < 3000 and size < 5e6
    asked = js(opened, "return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    shot(opened, "desktop-page")


def test_a_list_is_sorted_filtered_and_short_in_the_document(opened):
    click(opened, "[data-browse]")
    assert text(opened, "#b-count") == f"{N} pairs"
    items = js(opened, "return document.querySelectorAll('.item').length")
    assert 5 < items < 30
    d = truth("log_odds", 1)
    assert selected(opened)[0] == prompt(int(d.argmax())).text
    shot(opened, "desktop-browser")
    choose(opened, "b-order", "largest losses of A")
    assert selected(opened)[0] == prompt(int(d.argmin())).text
    choose(opened, "b-order", "two scores disagree most")
    product = np.where(d * -truth("atypicality", 1) < 0, np.abs(d * truth("atypicality", 1)), 0)
    assert selected(opened)[0] == prompt(int(product.argmax())).text
    assert text(opened, "#b-count") == f"{(product > 0).sum()} of {N} pairs"
    choose(opened, "b-order", "as in the prompt set")
    assert selected(opened)[0] == prompt(0).text
    choose(opened, "b-field", "tag")
    choose(opened, "b-value", "counting")
    assert text(opened, "#b-count") == f"{N // 4} of {N} pairs"
    started = time.perf_counter()
    js(opened, "const list = document.getElementById('b-list'); list.scrollTop = list.scrollHeight")
    until(
        lambda: js(opened, "return document.querySelector('.item:last-child').innerText").startswith(prompt(598).text)
    )
    assert time.perf_counter() - started < 1


def test_keys_move_and_links_lead_back(opened, made):
    click(opened, "[data-browse]")
    order = np.argsort(-truth("log_odds", 1), kind="stable")
    press(opened, "jjj")
    press(opened, "k")
    assert selected(opened)[0] == prompt(int(order[2])).text
    name = prompt_name(int(order[2]))
    link = until(lambda: (a := js(opened, "return location.href")) and f"#picture={name}&a=" in a and a)
    press(opened, "x")
    until(lambda: js(opened, "return location.href") != link)
    press(opened, "\ue00c")  # escape
    assert not js(opened, "return document.getElementById('browser').open")
    until(lambda: "#" not in js(opened, "return location.href"))
    opened.get("about:blank")
    opened.get(link)
    assert js(opened, "return document.getElementById('browser').open") and selected(opened)[0] == prompt(order[2]).text
    assert js(opened, "return location.href") == link
    press(opened, "\ue00c")
    until(lambda: js(opened, "return location.hash") == "")
    click(opened, "[data-browse]")
    press(opened, "j")
    opened.back()
    until(lambda: not js(opened, "return document.getElementById('browser').open"))
    assert js(opened, "return location.protocol") == "file:"
    opened.forward()
    until(lambda: js(opened, "return document.getElementById('browser').open"))


def prompt_name(i):
    return PromptList("x", (prompt(i),)).names()[0]


def test_slider_flicker_and_zoom_show_the_same_place_of_both(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    click(opened, "[data-browse]")
    press(opened, "2")
    stage = opened.find_element(By.ID, "b-stage")
    ActionChains(opened).move_to_element(stage).click_and_hold().move_by_offset(100, 0).release().perform()
    width = js(opened, "return document.getElementById('b-stage').clientWidth")
    at = float(js(opened, "return document.getElementById('b-stage').style.getPropertyValue('--split')")[:-1])
    assert at == pytest.approx(50 + 10000 / width, abs=1)
    assert float(js(opened, "return document.getElementById('b-split').value")) == pytest.approx(at, abs=0.5)
    shot(opened, "desktop-slider")
    visible = "return getComputedStyle(document.querySelector(arguments[0])).visibility"
    ActionChains(opened).key_down("f").perform()
    assert js(opened, visible, ".pane.b") == "visible" and js(opened, visible, ".pane.a") == "hidden"
    ActionChains(opened).key_up("f").perform()
    assert js(opened, visible, ".pane.a") == "visible" and js(opened, visible, ".pane.b") == "hidden"
    press(opened, "1+++")
    moves = "return [...document.querySelectorAll('.pane img')].map((one) => one.style.transform)"
    first, second = js(opened, moves)
    assert first == second and "scale(3.375)" in first
    ActionChains(opened).move_to_element_with_offset(stage, -width // 4, 0).click_and_hold().move_by_offset(
        30, 20
    ).release().perform()
    first, second = js(opened, moves)
    assert first == second and "translate(30px, 20px)" in first
    shot(opened, "desktop-zoom")
    press(opened, "0")
    assert js(opened, moves)[0] == "translate(0px, 0px) scale(1)"


def test_flagged_pictures_are_veiled_until_asked_for(opened):
    click(opened, "[data-browse]")
    choose(opened, "b-field", "nsfw")
    choose(opened, "b-value", "true")
    blurred = "return getComputedStyle(document.querySelector('.pane img')).filter"
    assert "blur" in js(opened, blurred) and text(opened, "#b-count") == f"{N // 50} of {N} pairs"
    shot(opened, "desktop-veiled")
    click(opened, "#b-reveal")
    assert js(opened, blurred) == "none"
    press(opened, "j")
    assert "blur" in js(opened, blurred)
    click(opened, "#b-unsafe")
    assert js(opened, blurred) == "none"


def test_a_baseline_turns_numbers_into_paired_differences(opened):
    from zz.lab.stats import winning

    selector = "table.rows tr[data-row='0'] td[data-score='0']"
    mean = text(opened, selector)
    click(opened, ".baseline [data-role=guidance_matched]")
    theirs = winning(*(dict(enumerate(scores(k)["log_odds"])) for k in (0, 2))).difference
    shown = text(opened, selector)
    assert shown.startswith(f"\u2212{-theirs.value:.2f}"[:4]) and "[" in shown and shown.endswith("\u25bc")
    assert text(opened, "table.rows tr[data-row='1'] td[data-score='0']") == ""
    js(opened, "document.querySelector('.baseline').scrollIntoView()")
    shot(opened, "desktop-baseline")
    click(opened, ".baseline [data-role=guidance_matched]")
    assert text(opened, selector) == mean
    row = js(opened, "return document.querySelector('.baseline select').options[3].text")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    Select(opened.find_element(By.CSS_SELECTOR, ".baseline select")).select_by_visible_text(row)
    assert "baseline" in text(opened, "table.rows tbody")


def test_tables_copy(opened):
    writing = "{writeText: (text) => { taken.push(text); return Promise.resolve(); }}"
    js(opened, f"window.taken = []; Object.defineProperty(navigator, 'clipboard', {{value: {writing}}})")
    for form, begins in (("LaTeX", "\\begin{table}"), ("Markdown", "| "), ("CSV", "row,")):
        click(opened, f"[data-copy=t0-0][data-form={form}]")
        assert begins in until(lambda: js(opened, "return taken.pop()"))


def test_dark_and_narrow(made):
    if reason := why_not():
        pytest.skip(reason)
    with chromium(1280, 800) as wide:
        wide.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        )
        wide.get(made[0].as_uri())
        paper = "return getComputedStyle(document.body).backgroundColor"
        assert js(wide, paper) == "rgb(21, 24, 26)"
        shot(wide, "dark-page")
        click(wide, "[data-browse]")
        shot(wide, "dark-browser")
        press(wide, "\ue00c")
        click(wide, "#theme")
        assert js(wide, paper) == "rgb(255, 255, 255)"
    with chromium(390, 844) as phone:
        phone.get(made[0].as_uri())
        assert js(phone, "return document.documentElement.scrollWidth") <= 390
        shot(phone, "phone-page")
        click(phone, "[data-browse]")
        assert js(phone, "return document.getElementById('browser').scrollWidth") <= 390
        shot(phone, "phone-browser")
        click(phone, "#b-choices")
        shot(phone, "phone-choices")
        lines = [line for line in phone.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
        assert lines == [], json.dumps(lines)
