"""What the page's modules decide, without a server: run inside Chromium, told what time it is."""

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
    """Evaluate the body of a function that has the names of a module at hand."""

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


def test_the_first_block_is_asked_for_alone_and_before_the_rest(run):
    messages = run("queue", "return new Queue(100, 5).requests(0)")

    assert messages == [
        {"priority": "playing", "indices": [5]},
        {"priority": "prefetch", "indices": [6, 7, 8, 9, 10, 11, 12, 13]},
    ]


def test_nothing_is_asked_for_twice(run):
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


def test_a_block_that_is_waited_for_moves_to_the_front(run):
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


def test_mute_blocks_are_stepped_over(run):
    body = (
        FRAME
        + """
    const q = new Queue(5);
    q.receive(frame(1, "skipped"), 0); q.receive(frame(2, "error"), 0);
    return [q.neighbour(0, 1), q.neighbour(3, -1), q.window()]"""
    )

    assert run("queue", body) == [3, 0, [0, 3, 4]]


def test_a_new_connection_asks_again_for_what_has_no_outcome(run):
    body = (
        FRAME
        + """
    const q = new Queue(4); q.requests(0); q.receive(frame(0, "cached"), 1); q.receive(frame(2, "queued"), 1);
    q.resume();
    return q.requests(2)"""
    )

    assert run("queue", body) == [{"priority": "prefetch", "indices": [1, 2, 3]}]


def test_audio_that_is_gone_is_asked_for_twice_more_and_no_oftener(run):
    body = """
    const q = new Queue(1); q.requests(0);
    return [q.heal(0), q.requests(1).length, q.heal(0), q.heal(0), q.entry(0).status]"""

    assert run("queue", body) == [True, 1, True, False, "error"]


def test_silence_is_asked_again_twice_and_then_the_line_is_dead(run):
    body = """
    const q = new Queue(1); const dead = [];
    for (const at of [0, 11e3, 22e3]) { q.requests(at); dead.push(q.lookForSilence(at + 10_500)); }
    return dead"""

    assert run("queue", body) == [False, False, True]


def test_a_held_queue_asks_for_nothing_until_its_time(run):
    body = "const q = new Queue(1); q.hold(5e3); return [q.requests(4999).length, q.requests(5e3).length]"

    assert run("queue", body) == [0, 1]


def test_long_windows_are_cut_into_messages_that_the_server_takes(run):
    assert run("queue", "return PER_MESSAGE") == 32


@pytest.mark.parametrize(
    ("attempt", "random", "delay"), [(0, 0, 500), (0, 1, 1000), (3, 1, 8000), (9, 1, 30000), (9, 0, 500)]
)
def test_the_delay_before_reconnecting_is_drawn_from_the_whole_range(run, attempt, random, delay):
    assert run("socket", f"return reconnectDelay({attempt}, () => {random})") == delay


def test_a_missing_frame_is_noticed(run):
    body = """
    const sockets = [];
    const connect = () => { const s = { readyState: 1 }; sockets.push(s); return s; };
    const socket = new SpeechSocket("ws://x", { connect });
    const seen = [];
    socket.addEventListener("gap", () => seen.push("gap"));
    socket.addEventListener("frame", (event) => seen.push(event.detail.seq));
    socket.start(); sockets[0].onopen();
    for (const seq of [1, 2, 4, 5]) sockets[0].onmessage({ data: JSON.stringify({ seq }) });
    return seen"""

    assert run("socket", body) == [1, 2, 4, "gap", 5]


@pytest.mark.parametrize("code", [4401, 4403, 4407])
def test_a_refused_connection_is_not_tried_again(run, code):
    body = f"""
    const sockets = [];
    const connect = () => {{ const s = {{ readyState: 1 }}; sockets.push(s); return s; }};
    const socket = new SpeechSocket("ws://x", {{ connect, random: () => 0 }});
    let refused = null;
    socket.addEventListener("refused", (event) => (refused = event.detail.code));
    socket.start(); sockets[0].onclose({{ code: {code} }});
    return new Promise((resolve) => setTimeout(() => resolve([refused, sockets.length]), 700))"""

    assert run("socket", body) == [code, 1]


def test_words_are_found_where_they_stand(run):
    body = """
    const words = ["Dr", "Smith", "paid", "five", "dollars", "to", "Ann."].map((t) => ({ t }));
    return alignWords("Dr. Smith paid $5 to Ann.", words)"""

    assert run("highlight", body) == [[0, 2], [4, 9], [10, 14], None, None, [18, 20], [21, 24]]


def test_a_word_lasts_until_the_next_one_begins(run):
    body = (
        "const words = [{ s: 0.1 }, { s: 0.5 }]; return [0, 0.1, 0.49, 0.5, 9].map((at) => wordAt(words, at))"
    )

    assert run("highlight", body) == [-1, 0, 0, 1, 1]


def test_what_was_heard_corrects_the_estimate(run):
    body = (
        "const t = new Timeline(4, 4000); t.learn(0, 3000); return [t.total(), t.start(1), t.blockAt(3500)]"
    )

    assert run("timeline", body) == [6000, 3000, 1]


@pytest.mark.parametrize(
    ("ms", "words"),
    [(20_000, "less than a minute"), (300_000, "5 min"), (3_600_000, "1 h"), (5_000_000, "1 h 23 min")],
)
def test_time_is_told_in_words(run, ms, words):
    assert run("timeline", f"return inWords({ms})") == words


@pytest.mark.parametrize(
    ("value", "speed"), [("0.1", 0.5), (9, 3), ("abc", 1), (None, 1), (1.234, 1.25), (0, 1)]
)
def test_a_remembered_speed_is_brought_within_bounds(run, value, speed):
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
def test_an_unsuitable_file_is_refused_in_words(run, name, kind, size, part):
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
def test_text_files_of_old_editors_are_read_too(run, bytes_, content):
    body = f"""
    const file = new File([new Uint8Array({bytes_})], "a.txt");
    return readTextFile(file).then((text) => text.content)"""

    assert run("textfile", body) == content


def test_characters_are_counted_as_the_server_counts_them(run):
    assert run("textfile", "return countCharacters('a😀é')") == 3


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ("{ isOnline: false, wasOnline: true }", "connection to the server is lost"),
        ("{ isOnline: true, wantsSound: true, waitedFor: 10_001 }", "still warming up"),
        ("{ trouble: { kind: 'login' } }", "no longer logged in"),
        ("{ trouble: { kind: 'autoplay' } }", "wants a click"),
        ("{ trouble: { kind: 'usage', usage: { limit: 10000, used: 9990 } } }", "9,990 of 10,000"),
        ("{ trouble: { kind: 'decode' } }", "cannot decode"),
    ],
)
def test_what_is_wrong_is_said_in_words(run, state, part):
    assert part in run("words", f"return notice({state}).text")


def test_nothing_is_said_while_all_is_well(run):
    state = "{ trouble: null, isOnline: true, wantsSound: true, waitedFor: 900 }"
    assert run("words", f"return notice({state})") is None


def test_pinned_voices_come_first_and_the_rest_by_language(run):
    body = """
    const all = [["a", "en"], ["b", "de"], ["c", "en"]];
    const voices = all.map(([id, language]) => ({ id, language, model: "m" }));
    return groupVoices(voices, ["c"]).map(([heading, list]) => [heading, list.map(({ id }) => id)])"""

    assert run("voices", body) == [["Pinned", ["c"]], ["m · English", ["a"]], ["m · German", ["b"]]]
