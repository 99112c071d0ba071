"""Playback in the browser, checked by the state of the audio elements."""

import json

import numpy as np
import pytest

from tests.browser.browser import AUDIO, LOUD
from yapit.audio import opus


def paste(page, text):
    page.click(".top [data-compose]")
    page.fill("#new-text", text)
    page.click("#compose [type=submit]")
    page.wait_for_selector("#compose:not([open])", state="attached")


def test_a_pasted_text_is_played(reader):
    paste(reader.page, "# Pasted\n\nA sentence that was pasted a moment ago and is now to be played.")
    reader.until("document.querySelector('#article h1')?.innerText === 'Pasted'")
    reader.measure_loudness()
    reader.play()

    assert reader.events("playing")[0]["block"] == 0
    reader.until_loud()


def test_silence_is_not_loud(reader):
    """Control for the loudness check of the test above."""
    silence = opus.encode(np.zeros(opus.SAMPLE_RATE, dtype=np.float32))
    reader.page.route(AUDIO, lambda route: route.fulfill(body=silence, content_type="audio/ogg"))
    reader.measure_loudness()
    reader.play()
    reader.until_event("ended", 2)

    assert reader.peak_loudness() < LOUD


def test_the_next_block_is_ready_when_one_ends(reader):
    reader.play()
    reader.until_event("ended", 2)
    reader.until_event("playing", 3)

    elements = [event["element"] for event in reader.events("playing")[:3]]
    assert elements in (["audio-a", "audio-b", "audio-a"], ["audio-b", "audio-a", "audio-b"])
    assert [event["otherIsReady"] for event in reader.events("ended")[:2]] == [True, True]


def test_a_chapter_begins_after_a_pause(reader, stack):
    """The control is in test_modules.py: the player waits for as long as the status says."""
    document = stack.make_document("The end.\n\n# A chapter\n\nIts text.")
    reader.open(f"{stack.url}/d/{document['id']}")
    reader.play()
    reader.until_event("playing", 2)

    ended, playing = reader.events("ended")[0], reader.events("playing")[1]
    assert (ended["block"], playing["block"]) == (0, 1)
    assert playing["at"] - ended["at"] >= 1_190  # timers round


def test_playing_after_a_pause_between_blocks_continues_with_the_next_one(reader, stack):
    document = stack.make_document("The end.\n\n# A chapter\n\nIts text.")
    reader.open(f"{stack.url}/d/{document['id']}")
    reader.play()
    reader.until_event("ended")
    reader.page.click("#play")

    reader.until("document.querySelector('.is-spoken')?.dataset.block === '1'")
    assert reader.page.evaluate("document.body.dataset.phase") == "paused"
    reader.page.click("#play")
    reader.until_event("playing", 2)
    assert reader.events("playing")[1]["block"] == 1


def test_playback_finishes_after_the_last_block(reader, stack):
    document = stack.make_document("A short one.")
    reader.open(f"{stack.url}/d/{document['id']}")
    reader.play()

    reader.until("document.body.dataset.phase === 'finished'")


def test_clicking_a_block_plays_it(reader):
    reader.measure_loudness()
    reader.page.click(".block[data-block='3']")

    reader.until_block_plays(3)
    reader.until_loud()


def test_clicking_a_distant_block_during_playback_plays_it(reader):
    reader.play()
    reader.page.click(".block[data-block='20']")

    reader.until_block_plays(20)


def test_pause_keeps_the_position_and_play_resumes_there(reader):
    reader.play()
    reader.until("[...document.querySelectorAll('audio')].some((a) => a.currentTime > 0.5)")
    reader.page.click("#play")
    reader.until_event("pause")
    stopped = reader.seconds()
    reader.page.wait_for_timeout(400)  # no event to wait for: nothing must happen

    assert reader.seconds() == stopped
    reader.page.click("#play")
    reader.until(f"[...document.querySelectorAll('audio')].some((a) => a.currentTime > {stopped})")


def test_keyboard_shortcuts_play_step_and_change_the_speed(reader):
    keys = reader.page.keyboard
    keys.press("k")
    reader.until_block_plays(0)
    keys.press("ArrowRight")
    reader.until_block_plays(1)
    keys.press("l")
    reader.until_block_plays(2)
    keys.press("j")
    reader.until_block_plays(1)
    keys.press("+")
    reader.until("[...document.querySelectorAll('audio')].every((a) => a.playbackRate === 1.1)")
    keys.press("-")
    keys.press("Space")

    reader.until("[...document.querySelectorAll('audio')].every((a) => a.paused && a.playbackRate === 1)")


def test_shortcuts_are_disabled_while_typing(reader):
    reader.page.click(".top [data-compose]")
    reader.page.locator("#new-text").press_sequentially("k l j ?")

    assert reader.page.input_value("#new-text") == "k l j ?"
    assert reader.page.evaluate("document.body.dataset.phase") == "idle"
    assert not reader.page.is_visible("#help")


def test_another_voice_plays_the_same_block_and_is_saved(reader, stack):
    reader.page.click(".block[data-block='2']")
    reader.until_block_plays(2)
    reader.forget_events()
    reader.page.click("#voice-button")
    reader.page.get_by_role("radio", name="Slow sine").check()
    reader.page.keyboard.press("Escape")

    reader.until_event("playing")
    assert reader.events("playing")[0]["block"] == 2
    reader.page.reload()
    reader.until("document.querySelector('#voice-name').textContent === 'Slow sine'")


def test_speed_preserves_the_pitch_and_is_saved(reader):
    reader.page.click("#speed-button")
    with reader.page.expect_response("**/v1/me/preferences"):
        reader.page.click("[data-speed='1.5']")
    reader.page.keyboard.press("Escape")
    reader.play()

    playing = "[...document.querySelectorAll('audio')].filter((a) => !a.paused)"
    speeds = reader.page.evaluate(f"{playing}.map((a) => [a.playbackRate, a.preservesPitch])")
    # One plays the block; the other may still play the silent clip.
    assert speeds in ([[1.5, True]], [[1.5, True]] * 2)
    reader.page.reload()
    reader.until("document.querySelector('#speed-value').textContent === '1.5×'")


def test_the_position_is_restored_after_a_reload(reader):
    with reader.page.expect_response("**/position"):
        reader.page.click(".block[data-block='5']")
    reader.page.reload()

    reader.until("document.querySelector('.is-spoken')?.dataset.block === '5'")
    reader.play()
    reader.until_block_plays(5)


def test_exactly_eight_blocks_are_prefetched(reader):
    frames = []
    reader.page.on("websocket", lambda ws: ws.on("framesent", lambda text: frames.append(text)))
    reader.open(reader.page.url)
    reader.play()

    messages = [message for message in map(json.loads, frames) if message["type"] == "synthesize"]
    assert messages[0]["block_indices"] == [0]
    assert messages[0]["priority"] == "playing"
    assert messages[1]["block_indices"] == list(range(1, 9))
    assert messages[1]["priority"] == "prefetch"


def test_the_spoken_word_is_highlighted(reader):
    reader.play()
    reader.until("document.querySelector('.is-spoken')?.dataset.block === '1'")

    word = "[...CSS.highlights.get('spoken-word')].map(String)[0]"
    first = reader.until(f"document.body.dataset.phase === 'playing' && {word}")
    reader.until(f"{word} && {word} !== {json.dumps(first)}")


def test_scrolling_away_stops_auto_scroll_until_resumed(reader):
    reader.play()
    reader.page.mouse.move(700, 400)
    reader.page.mouse.wheel(0, 900)
    reader.page.wait_for_selector("#follow:not([hidden])")
    scrolled = reader.page.evaluate("scrollY")
    reader.until_event("playing", 2)

    assert reader.page.evaluate("scrollY") == pytest.approx(scrolled, abs=400)
    reader.page.click("#follow")
    reader.until("document.querySelector('.is-spoken').getBoundingClientRect().top > 0")
    reader.page.wait_for_selector("#follow", state="hidden")
