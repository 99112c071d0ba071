"""Chromium of the system, and the reader page as tests use it."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
AUDIO = re.compile(r"/v1/audio/[0-9a-f]{64}$")

# Record media events. They do not bubble, so listen in the capture phase.
RECORD_EVENTS = """
window.mediaEvents = [];
for (const name of ["playing", "pause", "ended", "error"]) {
  document.addEventListener(name, (event) => {
    if (event.target.duration < 0.1) return; // the silent clip that unlocks the elements
    const block = document.querySelector(".is-spoken")?.dataset.block;
    const other = [...document.querySelectorAll("audio")].find((element) => element !== event.target);
    const ready = other.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA && other.duration > 0.1;
    const element = event.target.id;
    const at = performance.now();
    window.mediaEvents.push({ name, element, block: Number(block ?? -1), otherIsReady: ready, at });
  }, true);
}
"""

# Measure the loudness of the decoded audio. Taken from the elements: the stream of captureStream() keeps the
# track of the silent clip beside that of the block, and which of them is audible is random. The window of the
# analyser is longer than the interval, so nothing is missed on a slow machine.
MEASURE_LOUDNESS = """() => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 32768 });
  for (const element of document.querySelectorAll("audio")) {
    context.createMediaElementSource(element).connect(analyser);
  }
  analyser.connect(context.destination);
  const samples = new Float32Array(analyser.fftSize);
  window.loudness = { context, peak: 0 };
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    loudness.peak = Math.max(loudness.peak, Math.sqrt(power));
  }, 100);
  return context.resume();
}"""
LOUD = 0.01


def chromium() -> str:
    """Path of Chromium; skips the test where it is not installed."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium on this machine; `make test-browser` says how to get one")
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


class Reader:
    """The reader page as its user sees and hears it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(RECORD_EVENTS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, url: str) -> "Reader":
        self.page.goto(url)
        self.until("document.querySelector('.block') && !document.querySelector('#play').disabled")
        return self

    def until(self, expression: str) -> Any:
        """Wait for a true value and return it. Polled from here: the policy of the page forbids eval."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"not true in time: {expression}\n{self.describe()}"
            self.page.wait_for_timeout(20)
        return value

    def evaluate(self, expression: str) -> Any:
        try:
            return self.page.evaluate(expression)
        except Error:  # the page is navigating
            return None

    def describe(self) -> str:
        page = self.page.evaluate("[location.pathname, document.body.dataset, window.mediaEvents]")
        return f"{page} {self.notice()!r} {self.errors}"

    def play(self) -> None:
        self.page.click("#play")
        self.until_event("playing")

    def forget_events(self) -> None:
        """Forget the media events recorded so far."""
        self.page.evaluate("mediaEvents.length = 0")

    def until_event(self, name: str, times: int = 1) -> None:
        self.until(f"mediaEvents.filter((event) => event.name === '{name}').length >= {times}")

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.page.evaluate("mediaEvents") if event["name"] == name]

    def until_block_plays(self, block: int) -> None:
        """Wait until the block is highlighted and an audio element plays."""
        self.until(f"document.querySelector('.is-spoken')?.dataset.block === '{block}'")
        self.until("document.body.dataset.phase === 'playing'")
        before = self.seconds()
        self.until(
            f"[...document.querySelectorAll('audio')].some((a) => !a.paused && a.currentTime !== {before})"
        )

    def seconds(self) -> float:
        """Position of the audio element that plays or played last."""
        return self.page.evaluate(
            "Math.max(...[...document.querySelectorAll('audio')].map((a) => a.currentTime || 0))"
        )

    def measure_loudness(self) -> None:
        """Measure the loudness from here on."""
        self.page.evaluate(MEASURE_LOUDNESS)

    def until_loud(self) -> None:
        self.until(f"loudness.peak > {LOUD}")

    def peak_loudness(self) -> float:
        return self.page.evaluate("loudness.peak")

    def spoken_block(self) -> int:
        return int(self.page.get_attribute(".is-spoken", "data-block") or -1)

    def notice(self) -> str:
        return self.page.inner_text("#notice")
