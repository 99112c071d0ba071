"""What a browser makes of a hostile document, and of our pages under their policy."""

import re

import pytest

from tests.browser.browser import Reader

PAGES = [
    "/v1/docs",
    "/admin/",
    "/admin/auth/user/",
    "/admin/yapit/voice/",
    "/admin/yapit/cache/",
    "/usage/",
    "/keys/",
]
RUN = "alert(document.domain)"
HOSTILE = f"""
# <img src=x onerror={RUN}>

<script>{RUN}</script> <svg onload={RUN}> <iframe srcdoc="<script>parent.{RUN}</script>">

[a](javascript:{RUN}) [b](<java&#10;script:{RUN}>) [c](data:text/html,<script>{RUN}</script>)
<javascript:{RUN}>

![d](https://127.0.0.1:1/"onerror={RUN}) ![e](javascript:{RUN} "onload={RUN}")

> [!note"onclick={RUN}] <b onclick={RUN}>title</b>

```"><script>{RUN}</script>
<script>{RUN}</script>
```

| <script>{RUN}</script> | $<script>{RUN}</script>$ |
|---|---|
| [^"><script>{RUN}</script>] | <yap-show><script>{RUN}</script></yap-show> |

[^"><script>{RUN}</script>]: <img src=x onerror={RUN}>
"""


@pytest.fixture
def told(page):
    """What the browser says of scripts that ran, and of what a policy kept it from."""
    told = []
    page.on("dialog", lambda dialog: (told.append("it ran"), dialog.dismiss()))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "console",
        lambda said: told.append(said.text) if "Content Security Policy" in said.text else None,
    )
    return told


def test_nothing_of_a_hostile_document_runs_nor_has_to_be_stopped(page, stack, told):
    document = stack.make_document(HOSTILE, title=f"<img src=x onerror={RUN}>")

    reader = Reader(page).open(f"{stack.url}/d/{document['id']}")
    reader.page.click("#menu-button")
    reader.page.wait_for_load_state("networkidle")

    assert told == []
    assert (
        reader.page.evaluate(
            "document.querySelectorAll('#article script, #article iframe, #article svg').length"
        )
        == 0
    )


def test_no_page_of_ours_meets_its_own_policy(page, stack, told):
    password = re.search(r"admin password: (\S+)", stack.credentials.read_text())[1]
    page.goto(f"{stack.url}/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", password)
    page.click("[type=submit]")

    for path in PAGES:
        answer = page.goto(stack.url + path)
        page.wait_for_load_state("networkidle")
        assert (answer.status, page.url) == (200, stack.url + path)
    page.goto(f"{stack.url}/v1/docs")
    page.wait_for_selector(".opblock")

    assert told == []
