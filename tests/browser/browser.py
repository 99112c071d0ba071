"""Chromium as the system has it, and what a test may ask of the page that it shows."""

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

# Media events do not bubble, but they are captured.
LISTEN = """
window.heard = [];
for (const name of ["playing", "pause", "ended", "error"]) {
  document.addEventListener(name, (event) => {
    if (event.target.duration < 0.1) return; // the silence that unlocks the elements
    const block = document.querySelector(".is-spoken")?.dataset.block;
    const other = [...document.querySelectorAll("audio")].find((element) => element !== event.target);
    const ready = other.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA && other.duration > 0.1;
    window.heard.push({ name, deck: event.target.id, block: Number(block ?? -1), otherIsReady: ready });
  }, true);
}
"""

# How loud it gets, measured behind the decoder. Of the elements themselves: the stream of captureStream()
# keeps the track of the silent clip beside that of the block, and chance decides which of them is heard.
# Each look reaches back further than to the one before, also on a machine that is late.
EARS = """() => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 32768 });
  for (const element of document.querySelectorAll("audio")) {
    context.createMediaElementSource(element).connect(analyser);
  }
  analyser.connect(context.destination);
  const samples = new Float32Array(analyser.fftSize);
  window.ears = { context, loudest: 0 };
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    ears.loudest = Math.max(ears.loudest, Math.sqrt(power));
  }, 100);
  return context.resume();
}"""
LOUD = 0.01


def chromium() -> str:
    """The program, or a skipped test where there is none."""
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
    """The reader page, as somebody in front of it sees and hears it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(LISTEN)
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, url: str) -> "Reader":
        self.page.goto(url)
        self.until("document.querySelector('.block') && !document.querySelector('#play').disabled")
        return self

    def until(self, expression: str) -> Any:
        """The first true value. Asked from here: a page that may not eval cannot be told to watch itself."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not (value := self._now(expression)):
            assert time.monotonic() < deadline, f"not true in time: {expression}\n{self.situation()}"
            self.page.wait_for_timeout(20)
        return value

    def _now(self, expression: str) -> Any:
        try:
            return self.page.evaluate(expression)
        except Error:  # the page is on its way to another address
            return None

    def situation(self) -> str:
        page = self.page.evaluate("[location.pathname, document.body.dataset, window.heard]")
        return f"{page} {self.notice()!r} {self.faults}"

    def play(self) -> None:
        self.page.click("#play")
        self.until_heard("playing")

    def forget(self) -> None:
        """Count what is heard from here on."""
        self.page.evaluate("heard.length = 0")

    def until_heard(self, name: str, times: int = 1) -> None:
        self.until(f"heard.filter((event) => event.name === '{name}').length >= {times}")

    def heard(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.page.evaluate("heard") if event["name"] == name]

    def until_block_sounds(self, block: int) -> None:
        """The block is marked, an element runs, and its time moves."""
        self.until(f"document.querySelector('.is-spoken')?.dataset.block === '{block}'")
        self.until("document.body.dataset.phase === 'playing'")
        before = self.seconds()
        self.until(
            f"[...document.querySelectorAll('audio')].some((a) => !a.paused && a.currentTime !== {before})"
        )

    def seconds(self) -> float:
        """Where the element that sounds, or sounded last, stands."""
        return self.page.evaluate(
            "Math.max(...[...document.querySelectorAll('audio')].map((a) => a.currentTime || 0))"
        )

    def listen(self) -> None:
        """Hear from here on how loud it gets."""
        self.page.evaluate(EARS)

    def until_loud(self) -> None:
        self.until(f"ears.loudest > {LOUD}")

    def loudest(self) -> float:
        return self.page.evaluate("ears.loudest")

    def spoken_block(self) -> int:
        return int(self.page.get_attribute(".is-spoken", "data-block") or -1)

    def notice(self) -> str:
        return self.page.inner_text("#notice")
