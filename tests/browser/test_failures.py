"""Failures: lost connections, missing audio and refusals recover or show a message."""

import json

from tests.browser.browser import AUDIO


def intercept(reader, change):
    """Intercept frames of the server: `change(frame)` returns the frame to deliver, or None to drop it."""

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
    """Answer `times` audio requests with `audio_gone`; return the list of requested URLs."""
    requested = []

    def handle(route):
        requested.append(route.request.url)
        if len(requested) <= times:
            error = {"message": "gone", "type": "not_found", "param": None, "code": "audio_gone"}
            route.fulfill(status=404, json={"error": error})
        else:
            route.continue_()

    page.route(AUDIO, handle)
    return requested


def test_the_page_reconnects_to_a_restarted_server(reader, stack):
    reader.play()
    stack.stop("web")
    reader.until("document.querySelector('#notice').innerText.includes('connection to the server is lost')")
    stack.start_web()
    reader.page.click(".block[data-block='18']")

    reader.until_block_plays(18)
    reader.page.wait_for_selector("#notice", state="hidden")


def test_prefetched_blocks_are_played_after_the_server_is_killed(reader, stack):
    reader.play()
    reader.until_event("ended")
    stack.kill("web")
    try:
        reader.forget_events()
        reader.until_event("playing")
    finally:
        stack.start_web()
    reader.page.evaluate(
        "document.querySelector('#notice-action').click()"
    )  # in case it has not reconnected by itself
    reader.until("document.querySelector('#notice').hidden")


def test_gone_audio_is_synthesized_again(reader):
    requested = refuse_audio(reader.page, times=2)
    reader.play()

    reader.until_block_plays(0)
    assert len(requested) > 2


def test_a_block_without_audio_is_skipped_with_a_note(reader):
    refuse_audio(reader.page, times=10_000)
    reader.page.click("#play")
    reader.page.wait_for_selector(".block-note[data-for='0']")

    assert "could not be fetched" in reader.page.inner_text(".block-note[data-for='0']")


def test_a_block_with_nothing_to_speak_is_skipped_with_a_note(reader):
    def change(frame):
        if frame.get("block_idx") == 1:
            return {**frame, "status": "skipped", "audio_url": None}
        return frame

    intercept(reader, change)
    reader.play()

    reader.until_block_plays(2)
    assert reader.page.inner_text(".block-note[data-for='1']") == "nothing to say here"


def test_a_spent_allowance_pauses_with_a_message(reader):
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
    intercept(reader, lambda frame: {**frame, **refusal} if frame["type"] == "status" else frame)
    reader.page.click("#play")

    reader.until("document.querySelector('#notice').innerText.includes('10,000 of 10,000 characters')")
    assert reader.page.evaluate("document.body.dataset.phase") == "paused"


def test_prefetched_blocks_are_played_before_the_allowance_message(reader):
    refusal = {
        "status": "error",
        "recoverable": False,
        "code": "usage_limit",
        "audio_url": None,
        "usage": None,
    }
    intercept(reader, lambda frame: {**frame, **refusal} if frame.get("block_idx", 0) > 1 else frame)
    reader.play()
    reader.until_event("ended", 2)

    reader.until("document.querySelector('#notice').innerText.includes('limit')")
    assert [event["block"] for event in reader.events("ended")] == [0, 1]


def test_a_lost_frame_is_requested_again(reader):
    def lose_first_cached(frame, lost=[]):  # noqa: B006  # shared between calls on purpose
        if frame.get("status") == "cached" and not lost:
            lost.append(frame)
            return None
        return frame

    intercept(reader, lose_first_cached)
    reader.page.click("#play")

    reader.until_block_plays(0)


def test_an_ended_session_shows_a_message_and_does_not_reconnect(reader):
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


def test_a_slow_start_shows_a_message(reader, stack):
    stack.stop("worker")
    try:
        reader.page.click(".block[data-block='22']")
        reader.until("document.querySelector('#notice').innerText.includes('still warming up')")
    finally:
        stack.start("worker")
    reader.until_block_plays(22)
    reader.page.wait_for_selector("#notice", state="hidden")


def test_a_blocked_autoplay_shows_a_play_button(reader):
    # Headless browsers never block autoplay, so simulate it.
    reader.page.add_init_script(
        "const play = HTMLMediaElement.prototype.play; let refusals = 3;"  # two silent clips and one block
        "HTMLMediaElement.prototype.play = function () {"
        " if (refusals-- > 0) return Promise.reject(new DOMException('', 'NotAllowedError'));"
        " return play.call(this); };"
    )
    reader.open(reader.page.url)
    reader.page.click("#play")
    reader.until("document.querySelector('#notice').innerText.includes('requires a click')")
    reader.page.click("#notice-action")

    reader.until_block_plays(0)


def test_undecodable_audio_shows_a_message(reader):
    reader.page.route(
        AUDIO,
        lambda route: route.fulfill(body=b"not audio", content_type="audio/ogg"),
    )
    reader.page.click("#play")

    reader.until("document.querySelector('#notice').innerText.includes('cannot decode')")


def test_a_missing_document_shows_a_message(reader, stack):
    reader.page.goto(f"{stack.url}/d/00000000-0000-4000-8000-000000000000")

    reader.until("document.querySelector('#toast').innerText.includes('no longer exists')")
    assert reader.page.is_visible("#empty")
