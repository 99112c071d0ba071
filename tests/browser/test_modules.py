"""Unit tests of the JavaScript modules, run in Chromium without a server and with an injected clock."""

from pathlib import Path

import pytest

import yapit

STATIC = Path(yapit.__file__).parent / "web" / "static" / "yapit"
ORIGIN = "http://modules.test"


@pytest.fixture(scope="module")
def module_page(browser):
    def answer(route):
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(body="<!doctype html><p id=text></p>", content_type="text/html")
        else:
            route.fulfill(path=str(STATIC / path.lstrip("/")), content_type="text/javascript")

    page = browser.new_page()
    page.route(f"{ORIGIN}/**", answer)
    page.goto(ORIGIN)
    yield page
    page.close()


@pytest.fixture
def run(module_page):
    """Evaluate the body of a function in which the exports of a module are in scope."""

    def run(module: str, body: str):
        return module_page.evaluate(
            """async ([module, body]) => {
              const names = await import(`/js/${module}.js`);
              return new Function(...Object.keys(names), body)(...Object.values(names));
            }""",
            [module, body],
        )

    return run


FRAME = "const frame = (i, status, more) => ({ block_idx: i, status, audio_url: '/a', ...more });"


def test_the_first_block_is_requested_alone_and_before_the_rest(run):
    messages = run("queue", "return new Queue(100, 5).requests(0)")

    assert messages == [
        {"priority": "playing", "indices": [5]},
        {"priority": "prefetch", "indices": [6, 7, 8, 9, 10, 11, 12, 13]},
    ]


def test_no_block_is_requested_twice(run):
    assert run("queue", "const q = new Queue(100); q.requests(0); return q.requests(1)") == []


def test_the_window_moves_with_the_cursor(run):
    body = (
        FRAME
        + """
    const q = new Queue(100); q.requests(0);
    for (let i = 0; i <= 8; i += 1) q.receive(frame(i, "cached"), 1);
    q.cursor = 1;
    return q.requests(2)"""
    )

    assert run("queue", body) == [{"priority": "prefetch", "indices": [9]}]


def test_a_prefetched_block_is_requested_with_priority_when_playback_waits_for_it(run):
    body = (
        FRAME
        + """
    const q = new Queue(2); q.requests(0);
    q.receive(frame(0, "cached"), 1); q.receive(frame(1, "queued"), 1);
    q.cursor = 1;
    return [q.requests(2), q.requests(3)]"""
    )

    assert run("queue", body) == [[{"priority": "playing", "indices": [1]}], []]


def test_queued_after_cached_changes_nothing(run):
    body = (
        FRAME
        + """
    const q = new Queue(3); q.requests(0); q.receive(frame(0, "cached"), 1);
    return [q.receive(frame(0, "queued"), 2), q.entry(0).status]"""
    )

    assert run("queue", body) == [False, "cached"]


def test_silent_blocks_are_skipped(run):
    body = (
        FRAME
        + """
    const q = new Queue(5);
    q.receive(frame(1, "skipped"), 0); q.receive(frame(2, "error"), 0);
    return [q.neighbour(0, 1), q.neighbour(3, -1), q.window()]"""
    )

    assert run("queue", body) == [3, 0, [0, 3, 4]]


def test_a_new_connection_requests_unfinished_blocks_again(run):
    body = (
        FRAME
        + """
    const q = new Queue(4); q.requests(0); q.receive(frame(0, "cached"), 1); q.receive(frame(2, "queued"), 1);
    q.resume();
    return q.requests(2)"""
    )

    assert run("queue", body) == [{"priority": "prefetch", "indices": [1, 2, 3]}]


def test_gone_audio_is_requested_at_most_twice_more(run):
    body = """
    const q = new Queue(1); q.requests(0);
    return [q.retry(0), q.requests(1).length, q.retry(0), q.retry(0), q.entry(0).status]"""

    assert run("queue", body) == [True, 1, True, False, "error"]


def test_unanswered_requests_are_repeated_twice_before_the_connection_is_dead(run):
    body = """
    const q = new Queue(1); const dead = [];
    for (const at of [0, 11e3, 22e3]) { q.requests(at); dead.push(q.checkTimeouts(at + 10_500)); }
    return dead"""

    assert run("queue", body) == [False, False, True]


def test_a_held_queue_sends_no_requests_until_its_time(run):
    body = "const q = new Queue(1); q.hold(5e3); return [q.requests(4999).length, q.requests(5e3).length]"

    assert run("queue", body) == [0, 1]


def test_a_message_has_at_most_32_blocks(run):
    assert run("queue", "return PER_MESSAGE") == 32


@pytest.mark.parametrize(
    ("attempt", "random", "delay"), [(0, 0, 500), (0, 1, 1000), (3, 1, 8000), (9, 1, 30000), (9, 0, 500)]
)
def test_the_reconnect_delay_has_full_jitter(run, attempt, random, delay):
    assert run("socket", f"return reconnectDelay({attempt}, () => {random})") == delay


def test_a_missing_frame_is_detected(run):
    body = """
    const sockets = [];
    const connect = () => { const s = { readyState: 1 }; sockets.push(s); return s; };
    const socket = new ReconnectingSocket("ws://x", { connect });
    const seen = [];
    socket.addEventListener("gap", () => seen.push("gap"));
    socket.addEventListener("frame", (event) => seen.push(event.detail.seq));
    socket.start(); sockets[0].onopen();
    for (const seq of [1, 2, 4, 5]) sockets[0].onmessage({ data: JSON.stringify({ seq }) });
    return seen"""

    assert run("socket", body) == [1, 2, 4, "gap", 5]


@pytest.mark.parametrize("code", [4401, 4403, 4407])
def test_a_refused_connection_is_not_retried(run, code):
    body = f"""
    const sockets = [];
    const connect = () => {{ const s = {{ readyState: 1 }}; sockets.push(s); return s; }};
    const socket = new ReconnectingSocket("ws://x", {{ connect, random: () => 0 }});
    let refused = null;
    socket.addEventListener("refused", (event) => (refused = event.detail.code));
    socket.start(); sockets[0].onclose({{ code: {code} }});
    return new Promise((resolve) => setTimeout(() => resolve([refused, sockets.length]), 700))"""

    assert run("socket", body) == [code, 1]


# A player whose first block of three has ended: `ms` is the wait that it has asked for, `elapse()` ends it.
ENDED_BLOCK = """
    const socket = Object.assign(new EventTarget(), { isOpen: true, send: () => true, start() {} });
    const cache = { clear() {}, get: (i) => `blob:${i}`, isLoading: () => false, trim() {} };
    const audio = Object.assign(new EventTarget(), {
      index: null, isPlaying: false, inUse: [], seconds: 0, plays: [],
      clear() { this.index = null; }, unlock() {}, prepare() {}, pause() {}, rewind() {},
      load(index) { this.index = index; }, async play() { this.plays.push(this.index); },
    });
    let [ms, elapse] = [null, null];
    const after = (callback, wait) => { [ms, elapse] = [wait, callback]; return 1; };
    const player = new Player({ socket, cache, audio, after });
    player.setVoice({ id: "v", model: "m" });
    player.open({ id: "d", block_count: 3 }, 0);
    const status = (i, pause_ms) => socket.dispatchEvent(new CustomEvent("frame", { detail: {
      type: "status", document_id: "d", block_idx: i, status: "cached", audio_url: "/a", pause_ms,
      model_slug: "m", voice_slug: "v",
    } }));
    const end = () => { audio.dispatchEvent(new Event("playing")); audio.dispatchEvent(new Event("ended")); };
    player.speed = 2;
    player.play();
    [500, 300, 250].forEach((pause, i) => status(i, pause));
    audio.plays.length = 0;
    end();
"""


def test_the_pause_after_a_block_is_divided_by_the_speed(run):
    body = "const asked = [ms, [...audio.plays]]; elapse(); end(); return [asked, audio.plays, ms]"

    assert run("player", ENDED_BLOCK + body) == [[250, []], [1], 150]


def test_messages_during_a_pause_do_not_end_it(run):
    body = "status(1, 300); return [player.cursor, player.phase, audio.plays]"

    assert run("player", ENDED_BLOCK + body) == [0, "playing", []]


def test_pausing_during_a_pause_moves_to_the_next_block(run):
    body = """
    player.pause(); const paused = [player.cursor, player.phase, [...audio.plays]];
    player.play(); return [paused, audio.plays]"""

    assert run("player", ENDED_BLOCK + body) == [[1, "paused", []], [1]]


@pytest.mark.parametrize("problem", ["player.fail({ kind: 'x' })", "socket.dispatchEvent(new Event('down'))"])
def test_a_problem_during_a_pause_does_not_repeat_the_block(run, problem):
    body = f"{problem}; elapse(); player.play(); return [player.cursor, new Set(audio.plays).size]"

    assert run("player", ENDED_BLOCK + body) == [1, 1]


def test_seeking_during_a_pause_ends_it(run):
    body = "player.seek(2); return [player.cursor, audio.plays]"

    assert run("player", ENDED_BLOCK + body) == [2, [2]]


def test_another_voice_during_a_pause_ends_it(run):
    body = "player.setVoice({ id: 'w', model: 'm' }); return [player.cursor, player.phase]"

    assert run("player", ENDED_BLOCK + body) == [0, "waiting"]


def test_there_is_no_pause_after_the_last_block(run):
    body = "elapse(); end(); elapse(); ms = null; end(); return [player.phase, ms]"

    assert run("player", ENDED_BLOCK + body) == ["finished", None]


EVENTS = """
const socket = new EventTarget(), sent = [], told = [];
socket.send = ({ type, document_ids: ids }) => sent.push([type, ...ids]);
const events = new ChangeEvents(socket);
for (const name of ["connected", "document", "document_gone", "balance"]) {
  events.addEventListener(name, ({ detail }) => told.push(detail ? [name, detail] : [name]));
}
const receive = (frame) => socket.dispatchEvent(new CustomEvent("frame", { detail: frame }));
const lose = () => socket.dispatchEvent(new Event("down"));
"""


def test_the_state_is_read_after_the_documents_are_watched_also_after_a_loss(run):
    body = """
    events.watch(["a", "b"]);
    receive({ type: "connected" }); const before = told.length; receive({ type: "watching" });
    lose(); events.watch(["b", "c"]); receive({ type: "connected" }); receive({ type: "watching" });
    return [before, told, sent]"""

    sent = [["watch", "a", "b"], ["watch", "b", "c"]]
    assert run("events", EVENTS + body) == [0, [["connected"], ["connected"]], sent]


def test_only_changes_of_the_watched_documents_are_sent_and_at_most_200(run):
    body = """
    receive({ type: "connected" });
    events.watch(["a", "b"]); events.watch(["b", "c"]); events.watch(["b", "c"]);
    for (const id of ["c", "x"]) receive({ type: "document_gone", document_id: id });
    events.watch(Array.from({ length: 300 }, (_, index) => `d${index}`));
    return [told, sent.slice(0, 4), sent[4].length]"""

    sent = [["watch", "a", "b"], ["unwatch", "a"], ["watch", "c"], ["unwatch", "b"]]
    assert run("events", EVENTS + body) == [[["connected"], ["document_gone", "c"]], sent, 201]


def test_a_lost_frame_makes_the_page_watch_and_read_again(run):
    body = """
    events.watch(["a"]); receive({ type: "connected" }); receive({ type: "watching" });
    socket.dispatchEvent(new Event("gap")); receive({ type: "watching" });
    return [told, sent]"""

    assert run("events", EVENTS + body) == [[["connected"]] * 2, [["watch", "a"]] * 2]


def test_words_are_aligned_with_the_text(run):
    body = """
    const words = ["Dr", "Smith", "paid", "five", "dollars", "to", "Ann."].map((t) => ({ t }));
    return alignWords("Dr. Smith paid $5 to Ann.", words)"""

    assert run("highlight", body) == [[0, 2], [4, 9], [10, 14], None, None, [18, 20], [21, 24]]


def test_a_word_lasts_until_the_next_one_begins(run):
    body = (
        "const words = [{ s: 0.1 }, { s: 0.5 }]; return [0, 0.1, 0.49, 0.5, 9].map((at) => wordAt(words, at))"
    )

    assert run("highlight", body) == [-1, 0, 0, 1, 1]


def test_known_durations_correct_the_estimate(run):
    body = """
    const t = new Timeline(4, 4000); t.setDuration(0, 3000);
    return [t.total(), t.start(1), t.blockAt(3500)]"""

    assert run("timeline", body) == [6000, 3000, 1]


@pytest.mark.parametrize(
    ("ms", "words"),
    [(20_000, "less than a minute"), (300_000, "5 min"), (3_600_000, "1 h"), (5_000_000, "1 h 23 min")],
)
def test_durations_are_formatted_as_text(run, ms, words):
    assert run("timeline", f"return formatDuration({ms})") == words


@pytest.mark.parametrize(
    ("value", "speed"), [("0.1", 0.5), (9, 3), ("abc", 1), (None, 1), (1.234, 1.25), (0, 1)]
)
def test_a_saved_speed_is_clamped(run, value, speed):
    text = "null" if value is None else repr(value)
    assert run("speed", f"return clampSpeed({text})") == speed


@pytest.mark.parametrize(
    ("name", "kind", "size", "part"),
    [
        ("photo.png", "image/png", 10, "not a text file"),
        ("big.txt", "text/plain", 2_000_001, "too large"),
        ("void.md", "text/markdown", 0, "is empty"),
        ("zeros.txt", "text/plain", 4, "other than text"),
    ],
)
def test_an_unsuitable_file_is_refused_with_a_message(run, name, kind, size, part):
    body = f"""
    const file = new File([new Uint8Array({size})], "{name}", {{ type: "{kind}" }});
    return readTextFile(file).then(() => "", (error) => error.message)"""

    assert part in run("textfile", body)


@pytest.mark.parametrize(
    ("bytes_", "content"),
    [
        ("[0xc3, 0xa9]", "é"),
        ("[0xe9]", "é"),
        ("[0xff, 0xfe, 0xe9, 0x00]", "é"),
        ("[0xfe, 0xff, 0x00, 0xe9]", "é"),
    ],
)
def test_text_files_in_other_encodings_are_decoded(run, bytes_, content):
    body = f"""
    const file = new File([new Uint8Array({bytes_})], "a.txt");
    return readTextFile(file).then((text) => text.content)"""

    assert run("textfile", body) == content


def test_characters_are_counted_as_code_points(run):
    assert run("textfile", "return countCharacters('a😀é')") == 3


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ("{ isOnline: false, wasOnline: true }", "connection to the server is lost"),
        ("{ isOnline: true, wantsSound: true, waitingMs: 10_001 }", "still warming up"),
        ("{ problem: { kind: 'login' } }", "no longer logged in"),
        ("{ problem: { kind: 'autoplay' } }", "requires a click"),
        ("{ problem: { kind: 'usage', usage: { limit: 10000, used: 9990 } } }", "9,990 of 10,000"),
        ("{ problem: { kind: 'decode' } }", "cannot decode"),
    ],
)
def test_problems_have_messages(run, state, part):
    assert part in run("messages", f"return notice({state}).text")


def test_no_notice_is_shown_without_a_problem(run):
    state = "{ problem: null, isOnline: true, wantsSound: true, waitingMs: 900 }"
    assert run("messages", f"return notice({state})") is None


def test_pinned_voices_come_first_and_the_rest_is_grouped_by_language(run):
    body = """
    const all = [["a", "en"], ["b", "de"], ["c", "en"]];
    const voices = all.map(([id, language]) => ({ id, language, model: "m" }));
    return groupVoices(voices, ["c"]).map(([heading, list]) => [heading, list.map(({ id }) => id)])"""

    assert run("voices", body) == [["Pinned", ["c"]], ["m · English", ["a"]], ["m · German", ["b"]]]
