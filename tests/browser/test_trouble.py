"""What goes wrong is said in words, and what can mend itself does."""

import json

from tests.browser.browser import AUDIO


def spoil(reader, change):
    """Put a hand on the line: `change(frame)` gives what the page gets to see, or None for nothing."""

    def handle(route):
        server = route.connect_to_server()

        def pass_on(text):
            frame = change(json.loads(text))
            if frame is not None:
                route.send(json.dumps(frame))

        server.on_message(pass_on)

    reader.page.route_web_socket("**/v1/ws/tts", handle)
    reader.open(reader.page.url)


def refuse_audio(page, times):
    """Answer that often as the server does when the audio is in neither store; tell what was asked for."""
    asked = []

    def handle(route):
        asked.append(route.request.url)
        if len(asked) <= times:
            error = {"message": "gone", "type": "not_found", "param": None, "code": "audio_gone"}
            route.fulfill(status=404, json={"error": error})
        else:
            route.continue_()

    page.route(AUDIO, handle)
    return asked


def test_a_restarted_server_is_found_again(reader, stack):
    reader.play()
    stack.stop("web")
    reader.until("document.querySelector('#notice').innerText.includes('connection to the server is lost')")
    stack.start_web()
    reader.page.click(".block[data-block='18']")

    reader.until_block_sounds(18)
    reader.page.wait_for_selector("#notice", state="hidden")


def test_a_killed_server_leaves_what_is_ready_to_be_heard(reader, stack):
    reader.play()
    reader.until_heard("ended")
    stack.kill("web")
    try:
        reader.forget()
        reader.until_heard("playing")
    finally:
        stack.start_web()
    reader.page.evaluate(
        "document.querySelector('#notice-action').click()"
    )  # if it has not come back by itself
    reader.until("document.querySelector('#notice').hidden")


def test_audio_that_is_gone_is_made_again(reader):
    asked = refuse_audio(reader.page, times=2)
    reader.play()

    reader.until_block_sounds(0)
    assert len(asked) > 2


def test_audio_that_stays_away_is_stepped_over_with_a_word(reader):
    refuse_audio(reader.page, times=10_000)
    reader.page.click("#play")
    reader.page.wait_for_selector(".block-note[data-for='0']")

    assert "could not be fetched" in reader.page.inner_text(".block-note[data-for='0']")


def test_a_block_with_nothing_to_say_is_stepped_over_with_a_word(reader):
    def change(frame):
        if frame.get("block_idx") == 1:
            return {**frame, "status": "skipped", "audio_url": None}
        return frame

    spoil(reader, change)
    reader.play()

    reader.until_block_sounds(2)
    assert reader.page.inner_text(".block-note[data-for='1']") == "nothing to say here"


def test_a_spent_allowance_ends_the_session_in_words(reader):
    usage = {
        "available": 0,
        "limit": 10000,
        "used": 10000,
        "requested": 90,
        "period_end": "2030-05-01T00:00:00Z",
    }
    refusal = {
        "status": "error",
        "recoverable": False,
        "code": "usage_limit",
        "audio_url": None,
        "usage": usage,
    }
    spoil(reader, lambda frame: {**frame, **refusal} if frame["type"] == "status" else frame)
    reader.page.click("#play")

    reader.until("document.querySelector('#notice').innerText.includes('10,000 of 10,000 characters')")
    assert reader.page.evaluate("document.body.dataset.phase") == "paused"


def test_what_is_ready_is_heard_before_the_allowance_is_said_to_be_spent(reader):
    refusal = {
        "status": "error",
        "recoverable": False,
        "code": "usage_limit",
        "audio_url": None,
        "usage": None,
    }
    spoil(reader, lambda frame: {**frame, **refusal} if frame.get("block_idx", 0) > 1 else frame)
    reader.play()
    reader.until_heard("ended", 2)

    reader.until("document.querySelector('#notice').innerText.includes('limit')")
    assert [event["block"] for event in reader.heard("ended")] == [0, 1]


def test_a_lost_frame_is_asked_for_again(reader):
    def lose_first_sound(frame, lost=[]):  # noqa: B006  # the memory is the point
        if frame.get("status") == "cached" and not lost:
            lost.append(frame)
            return None
        return frame

    spoil(reader, lose_first_sound)
    reader.page.click("#play")

    reader.until_block_sounds(0)


def test_a_lost_log_in_is_said_and_not_hammered(reader):
    opened = []

    def refuse(route):
        opened.append(route)
        route.close(code=4401)

    reader.page.route_web_socket("**/v1/ws/tts", refuse)
    reader.page.reload()
    reader.until("document.querySelector('#notice').innerText.includes('no longer logged in')")
    reader.page.wait_for_timeout(1500)

    assert len(opened) == 1
    assert reader.page.inner_text("#notice-action") == "Log in"


def test_a_voice_that_warms_up_is_excused(reader, stack):
    stack.stop("worker")
    try:
        reader.page.click(".block[data-block='22']")
        reader.until("document.querySelector('#notice').innerText.includes('still warming up')")
    finally:
        stack.start("worker")
    reader.until_block_sounds(22)
    reader.page.wait_for_selector("#notice", state="hidden")


def test_a_browser_that_wants_a_click_first_is_answered_with_one(reader):
    # Headless browsers let everything sound, so the first refusal is made here.
    reader.page.add_init_script(
        "const play = HTMLMediaElement.prototype.play; let refusals = 3;"  # two silences and one block
        "HTMLMediaElement.prototype.play = function () {"
        " if (refusals-- > 0) return Promise.reject(new DOMException('', 'NotAllowedError'));"
        " return play.call(this); };"
    )
    reader.open(reader.page.url)
    reader.page.click("#play")
    reader.until("document.querySelector('#notice').innerText.includes('wants a click')")
    reader.page.click("#notice-action")

    reader.until_block_sounds(0)


def test_sound_that_cannot_be_decoded_is_said(reader):
    reader.page.route(
        AUDIO,
        lambda route: route.fulfill(body=b"this is no sound", content_type="audio/ogg"),
    )
    reader.page.click("#play")

    reader.until("document.querySelector('#notice').innerText.includes('cannot decode')")


def test_a_document_that_is_gone_is_said(reader, stack):
    reader.page.goto(f"{stack.url}/d/00000000-0000-4000-8000-000000000000")

    reader.until("document.querySelector('#toast').innerText.includes('does not exist any more')")
    assert reader.page.is_visible("#empty")
