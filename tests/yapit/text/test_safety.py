"""Safety of the HTML, of stored text and of concurrent use."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.yapit.text.page import Page, html, spoken
from yapit.text import to_blocks


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "a <script>alert(1)</script> b",
        "<img src=x onerror=alert(1)>",
        "a <img src=x onerror=alert(1)> b",
        "```<script>\n<script>\n```",
        '```"><script>\nx\n```',
        "$<script>$ and $$<script>$$",
        '![a](http://x.org/"onerror=alert(1))',
        '[^"><script>]\n\n[^"><script>]: x',
        '> [!x"onclick=y] t',
        "<yap-show><script></yap-show>",
        "| <script> |\n|---|\n| <script> |",
    ],
)
def test_html_of_the_author_is_not_shown(source):
    for tag, attributes in Page(to_blocks(source)).elements:
        assert tag != "script"
        assert not [name for name in attributes if name.startswith("on")]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#10;script:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//evil.org/x",
        "/v1/users/me",
        "\\\\evil.org",
        "http:x",
        "file:///etc/passwd",
    ],
)
def test_unsafe_addresses_are_dropped_and_their_text_is_kept(url):
    source = f"see [the text](<{url}>) and ![the picture](<{url}>)"

    assert [tag for tag, _ in Page(to_blocks(source)).elements if tag in ("a", "img")] == []
    assert spoken(source) == ["see the text and the picture"]


def test_links_are_nofollow_and_noopener():
    (link,) = [
        fields for tag, fields in Page(to_blocks("[a](https://x.org/?a=1&b=2)")).elements if tag == "a"
    ]

    assert link == {"href": "https://x.org/?a=1&b=2", "rel": "noopener nofollow"}


def test_static_images_are_shown():
    assert 'src="/static/yapit/three-paths.svg"' in html("![a](/static/yapit/three-paths.svg)")
    assert "<img" not in html("![a](/static/../v1/x)")


def test_a_data_url_is_not_spoken():
    assert spoken("![a chart](data:image/png;base64," + "QUJD" * 50_000 + ") after") == ["a chart after"]


@pytest.mark.parametrize("markdown", [True, False])
def test_characters_that_databases_refuse_are_removed(markdown):
    document = to_blocks("a\x00b \ud800c\x1b &#0; &#xD800; &#1; d\x7f\ufeff", markdown=markdown)

    for text in (*document.blocks, document.title, *(s.html for s in document.sections)):
        text.encode()
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]


def test_blocks_are_in_nfc():
    (block,) = spoken("cafe\u0301 and e**&#x301;** &#x65;&#x301;")

    assert block == unicodedata.normalize("NFC", block)


def test_concurrent_calls_are_independent():
    sources = [
        f"# d{n}\n\n" + f"$$x$$\n\n<yap-speak>p{n}</yap-speak>\n\n- i{n}[^1]\n" * 40 + f"\n[^1]: f{n}"
        for n in range(40)
    ]
    alone = [to_blocks(source) for source in sources]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(to_blocks, sources * 2))

    assert together == alone * 2
