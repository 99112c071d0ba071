"""Document list: rename, delete with undo, share, open files."""

import pytest

from tests.waiting import wait_until


def row(reader, title):
    return reader.page.locator(".document").filter(has_text=title)


def choose(reader, title, action):
    row(reader, title).first.hover()
    row(reader, title).first.locator(".document-more").click()
    reader.page.click(f"#document-menu [data-do={action}]")


@pytest.fixture
def other(stack, request):
    return stack.make_document("Another text, to be handled.", title=f"Other {request.node.name[:60]}")


@pytest.fixture
def listed(reader, other):
    reader.page.reload()
    reader.until("document.querySelectorAll('.document').length > 1")
    return reader


def title_of(stack, document):
    return stack.get(f"/v1/documents/{document['id']}")[1]["title"]


def test_a_document_is_renamed_in_the_list(listed, stack, other):
    choose(listed, other["title"], "rename")
    with listed.page.expect_response("**/v1/documents/*"):
        listed.page.fill(".rename input", "A better title")
        listed.page.keyboard.press("Enter")

    assert title_of(stack, other) == "A better title"
    assert row(listed, "A better title").count() >= 1


def test_a_deleted_document_can_be_restored(listed, stack, other):
    choose(listed, other["title"], "delete")
    assert row(listed, other["title"]).count() == 0
    listed.page.click("#toast >> text=Undo")

    assert row(listed, other["title"]).count() == 1
    assert title_of(stack, other) == other["title"]


def test_leaving_the_page_completes_a_deletion(listed, stack, other):
    choose(listed, other["title"], "delete")
    listed.page.goto("about:blank")

    wait_until(lambda: stack.get(f"/v1/documents/{other['id']}")[0] == 404)


def test_a_document_is_shared_by_its_link(listed, stack, other):
    choose(listed, other["title"], "share")
    with listed.page.expect_response("**/v1/documents/*"):
        listed.page.check("#share-toggle")

    assert listed.page.input_value("#share-link") == f"{stack.url}/d/{other['id']}"
    assert stack.get(f"/v1/documents/{other['id']}")[1]["is_public"] is True


def test_choosing_a_document_opens_it_and_back_returns(listed, document, other):
    row(listed, other["title"]).locator("a").click()
    listed.until("document.querySelector('#article').innerText.includes('to be handled')")
    assert listed.page.url.endswith(other["id"])
    listed.page.go_back()

    listed.until("document.querySelector('#article').innerText.includes('passage number 1')")
    assert listed.page.url.endswith(document["id"])


def test_the_start_page_opens_the_document_played_last(reader, stack, document):
    with reader.page.expect_response("**/position"):
        reader.page.click(".block[data-block='4']")
    reader.page.goto(stack.url)

    reader.until(f"location.pathname === '/d/{document['id']}'")


def test_an_opened_file_fills_the_new_text_dialog(reader):
    file = {"name": "Notes.txt", "mimeType": "text/plain", "buffer": "Ein Käfer, *unbetont*.".encode()}
    reader.page.set_input_files("#new-file", file)

    reader.until("document.querySelector('#new-text').value === 'Ein Käfer, *unbetont*.'")
    assert reader.page.input_value("#new-title") == "Notes"
    assert reader.page.is_checked("[name=format][value=plain]")


def test_a_dropped_file_fills_the_new_text_dialog(reader):
    reader.page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["# Dropped"], "dropped.md", { type: "text/markdown" }));
          for (const name of ["dragover", "drop"]) {
            const options = { dataTransfer, bubbles: true, cancelable: true };
            document.querySelector("#document-view").dispatchEvent(new DragEvent(name, options));
          }
        }"""
    )

    reader.until("document.querySelector('#new-text').value === '# Dropped'")
    assert reader.page.is_checked("[name=format][value=markdown]")


def test_a_picture_is_refused_with_a_message(reader):
    file = {"name": "cat.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    reader.page.set_input_files("#new-file", file)

    reader.until("document.querySelector('#new-error').innerText.includes('is not a text file')")


def test_an_empty_text_is_refused_with_a_message(reader):
    reader.page.click(".top [data-compose]")
    reader.page.click("#compose [type=submit]")

    assert reader.page.inner_text("#new-error") == "There is no text yet."


def test_a_long_document_is_loaded_up_to_the_saved_position(reader, stack):
    long = stack.make_document("\n\n".join(f"Paragraph number {n} of many." for n in range(400)))
    stack.request("PATCH", f"/v1/documents/{long['id']}/position", {"block_idx": 300})
    reader.page.goto(f"{stack.url}/d/{long['id']}")

    reader.until("document.querySelector('.is-spoken')?.innerText.includes('number 300 ')")
    assert reader.page.evaluate("document.querySelector('.is-spoken').getBoundingClientRect().top") < 820
