"""Script injection by documents, and Content-Security-Policy violations of the pages, in a real browser."""

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
def violations(page):
    """Signs of executed scripts, page errors and Content-Security-Policy violations."""
    violations = []
    page.on("dialog", lambda dialog: (violations.append("script ran"), dialog.dismiss()))
    page.on("pageerror", lambda error: violations.append(str(error)))
    page.on(
        "console",
        lambda line: violations.append(line.text) if "Content Security Policy" in line.text else None,
    )
    return violations


def test_a_hostile_document_runs_no_script_and_violates_no_policy(page, stack, violations):
    document = stack.make_document(HOSTILE, title=f"<img src=x onerror={RUN}>")

    reader = Reader(page).open(f"{stack.url}/d/{document['id']}")
    reader.page.click("#menu-button")
    reader.page.wait_for_load_state("networkidle")

    assert violations == []
    assert (
        reader.page.evaluate(
            "document.querySelectorAll('#article script, #article iframe, #article svg').length"
        )
        == 0
    )


def test_no_page_violates_its_own_policy(page, stack, violations):
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

    assert violations == []
