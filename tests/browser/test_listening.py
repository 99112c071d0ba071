"""Somebody pastes a text and listens: judged by what the audio elements do, not by looks."""

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


def test_a_pasted_text_is_heard(reader):
    paste(
        reader.page, "# Pasted\n\nA sentence that was pasted a moment ago and is now to be heard by somebody."
    )
    reader.until("document.querySelector('#article h1')?.innerText === 'Pasted'")
    reader.listen()
    reader.play()

    assert reader.heard("playing")[0]["block"] == 0
    reader.until_loud()


def test_silence_is_not_taken_for_sound(reader):
    """Shows that the test above can fail."""
    silence = opus.encode(np.zeros(opus.SAMPLE_RATE, dtype=np.float32))
    reader.page.route(AUDIO, lambda route: route.fulfill(body=silence, content_type="audio/ogg"))
    reader.listen()
    reader.play()
    reader.until_heard("ended", 2)

    assert reader.loudest() < LOUD


def test_one_block_follows_the_other_without_a_gap(reader):
    reader.play()
    reader.until_heard("ended", 2)
    reader.until_heard("playing", 3)

    decks = [event["deck"] for event in reader.heard("playing")[:3]]
    assert decks in (["deck-a", "deck-b", "deck-a"], ["deck-b", "deck-a", "deck-b"])
    assert [event["otherIsReady"] for event in reader.heard("ended")[:2]] == [True, True]


def test_the_last_block_is_the_end(reader, stack):
    document = stack.make_document("A short one.")
    reader.open(f"{stack.url}/d/{document['id']}")
    reader.play()

    reader.until("document.body.dataset.phase === 'finished'")


def test_clicking_a_block_lets_it_sound(reader):
    reader.listen()
    reader.page.click(".block[data-block='3']")

    reader.until_block_sounds(3)
    reader.until_loud()


def test_clicking_far_away_while_it_plays_moves_the_sound_there(reader):
    reader.play()
    reader.page.click(".block[data-block='20']")

    reader.until_block_sounds(20)


def test_pause_stops_time_and_play_goes_on_from_there(reader):
    reader.play()
    reader.until("[...document.querySelectorAll('audio')].some((a) => a.currentTime > 0.5)")
    reader.page.click("#play")
    reader.until_heard("pause")
    stopped = reader.seconds()
    reader.page.wait_for_timeout(400)  # nothing is to happen, so there is nothing to wait for

    assert reader.seconds() == stopped
    reader.page.click("#play")
    reader.until(f"[...document.querySelectorAll('audio')].some((a) => a.currentTime > {stopped})")


def test_the_keyboard_plays_steps_and_changes_the_speed(reader):
    keys = reader.page.keyboard
    keys.press("k")
    reader.until_block_sounds(0)
    keys.press("ArrowRight")
    reader.until_block_sounds(1)
    keys.press("l")
    reader.until_block_sounds(2)
    keys.press("j")
    reader.until_block_sounds(1)
    keys.press("+")
    reader.until("[...document.querySelectorAll('audio')].every((a) => a.playbackRate === 1.1)")
    keys.press("-")
    keys.press("Space")

    reader.until("[...document.querySelectorAll('audio')].every((a) => a.paused && a.playbackRate === 1)")


def test_shortcuts_rest_while_somebody_types(reader):
    reader.page.click(".top [data-compose]")
    reader.page.locator("#new-text").press_sequentially("k l j ?")

    assert reader.page.input_value("#new-text") == "k l j ?"
    assert reader.page.evaluate("document.body.dataset.phase") == "idle"
    assert not reader.page.is_visible("#help")


def test_another_voice_speaks_the_same_block_and_is_remembered(reader, stack):
    reader.page.click(".block[data-block='2']")
    reader.until_block_sounds(2)
    reader.forget()
    reader.page.click("#voice-button")
    reader.page.get_by_role("radio", name="Slow sine").check()
    reader.page.keyboard.press("Escape")

    reader.until_heard("playing")
    assert reader.heard("playing")[0]["block"] == 2
    reader.page.reload()
    reader.until("document.querySelector('#voice-name').textContent === 'Slow sine'")


def test_speed_keeps_the_pitch_and_is_remembered(reader):
    reader.page.click("#speed-button")
    with reader.page.expect_response("**/v1/me/preferences"):
        reader.page.click("[data-speed='1.5']")
    reader.page.keyboard.press("Escape")
    reader.play()

    sounding = "[...document.querySelectorAll('audio')].filter((a) => !a.paused)"
    speeds = reader.page.evaluate(f"{sounding}.map((a) => [a.playbackRate, a.preservesPitch])")
    # One sounds; the other may still be at the silent clip that unlocks it.
    assert speeds in ([[1.5, True]], [[1.5, True]] * 2)
    reader.page.reload()
    reader.until("document.querySelector('#speed-value').textContent === '1.5×'")


def test_the_place_is_found_again(reader):
    with reader.page.expect_response("**/position"):
        reader.page.click(".block[data-block='5']")
    reader.page.reload()

    reader.until("document.querySelector('.is-spoken')?.dataset.block === '5'")
    reader.play()
    reader.until_block_sounds(5)


def test_eight_blocks_are_made_ready_ahead_and_no_more(reader):
    frames = []
    reader.page.on("websocket", lambda ws: ws.on("framesent", lambda text: frames.append(text)))
    reader.open(reader.page.url)
    reader.play()

    messages = [message for message in map(json.loads, frames) if message["type"] == "synthesize"]
    assert messages[0]["block_indices"] == [0]
    assert messages[0]["priority"] == "playing"
    assert messages[1]["block_indices"] == list(range(1, 9))
    assert messages[1]["priority"] == "prefetch"


def test_the_word_that_is_spoken_is_marked(reader):
    reader.play()
    reader.until("document.querySelector('.is-spoken')?.dataset.block === '1'")

    word = "[...CSS.highlights.get('spoken-word')].map(String)[0]"
    first = reader.until(f"document.body.dataset.phase === 'playing' && {word}")
    reader.until(f"{word} && {word} !== {json.dumps(first)}")


def test_scrolling_away_is_respected_until_called_back(reader):
    reader.play()
    reader.page.mouse.move(700, 400)
    reader.page.mouse.wheel(0, 900)
    reader.page.wait_for_selector("#follow:not([hidden])")
    away = reader.page.evaluate("scrollY")
    reader.until_heard("playing", 2)

    assert reader.page.evaluate("scrollY") == pytest.approx(away, abs=400)
    reader.page.click("#follow")
    reader.until("document.querySelector('.is-spoken').getBoundingClientRect().top > 0")
    reader.page.wait_for_selector("#follow", state="hidden")
