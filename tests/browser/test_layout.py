"""Layout, contrast, accessible names, and Content-Security-Policy of the reader page."""

import os
from pathlib import Path

import pytest

from tests.browser.browser import Reader

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NARROW = {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 820}}
DARK = {"color_scheme": "dark"}
SCREENS = {
    "desk": DESK,
    "desk-dark": DESK | DARK,
    "phone": PHONE,
    "phone-dark": PHONE | DARK,
    "narrow": NARROW,
}


@pytest.fixture(params=SCREENS.values(), ids=SCREENS.keys())
def screen(request, browser, stack, document):
    context = browser.new_context(**request.param)
    reader = Reader(context.new_page()).open(f"{stack.url}/d/{document['id']}")
    yield reader
    if folder := os.environ.get("SCREENSHOTS"):
        reader.page.screenshot(path=Path(folder) / f"{request.node.callspec.id}.png")
    context.close()


def test_the_layout_fits_the_screen_and_controls_are_large_enough(screen):
    screen.play()

    assert screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for control in ("#menu-button", "#voice-button", "#previous", "#play", "#next", "#speed-button"):
        box = screen.page.locator(control).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= screen.page.viewport_size["width"]
        assert box["y"] + box["height"] <= screen.page.viewport_size["height"]
        assert min(box["width"], box["height"]) >= 40


def test_text_contrast_is_above_seven_in_light_and_dark_mode(screen):
    contrast = screen.page.evaluate(
        """() => {
          const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const light = (color) => channels(color).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const { color, backgroundColor } = getComputedStyle(document.body);
          const [low, high] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
          return (high + 0.05) / (low + 0.05);
        }"""
    )

    assert contrast > 7


def test_every_control_has_an_accessible_name(reader):
    nameless = reader.page.evaluate(
        """() => [...document.querySelectorAll("button:not([hidden]), input, textarea, a[href]")]
          .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
          .map((e) => e.outerHTML)"""
    )

    assert nameless == []


def test_the_page_does_not_violate_its_own_policy(reader):
    reader.page.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation', (event) => violations.push(event.blockedURI));"
    )
    response = reader.page.reload()
    reader.until("!document.querySelector('#play').disabled")
    reader.play()

    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; media-src 'self' blob:; connect-src 'self'")
    assert "unsafe" not in policy
    assert reader.page.evaluate("violations") == []


def test_the_sidebar_drawer_opens_and_closes_on_a_phone(browser, stack, document):
    context = browser.new_context(**PHONE)
    reader = Reader(context.new_page()).open(f"{stack.url}/d/{document['id']}")
    reader.page.click("#menu-button")
    reader.page.wait_for_selector(".library .document")
    reader.page.keyboard.press("Escape")

    reader.until("document.querySelector('#library').inert")
    assert reader.page.get_attribute("#menu-button", "aria-expanded") == "false"
    context.close()
