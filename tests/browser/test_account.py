"""The pages of an account: keys that are shown once, a password, and the end of it all."""

import secrets

import pytest

from tests.browser.browser import Reader
from tests.browser.test_login import address, answers, password  # noqa: F401  # fixtures

ADD_ACCOUNT = (
    "from django.contrib.auth.models import User;User.objects.create_user({name!r}, password='correct horse')"
)
NEXT = "battery staple 9"
PHONE = {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark", "is_mobile": True}


@pytest.fixture
def person(stack):
    """Somebody who may log in."""
    name = f"ann-{secrets.token_hex(3)}"
    stack.manage("shell", "-v0", "-c", ADD_ACCOUNT.format(name=name))
    return name


def log_in(page, there, name, word="correct horse"):
    visitor = Reader(page)
    page.goto(there)
    page.fill("[name=username]", name)
    page.fill("[name=password]", word)
    page.click("[type=submit]")
    visitor.until("!location.pathname.startsWith('/login')")
    return visitor


def make_key(page, name):
    page.fill("#key-name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#made:not([hidden])")
    return page.input_value("#token")


def test_a_key_is_shown_once_renamed_and_revoked(page, stack):
    name = "<b>lap & top</b>"
    visitor = Reader(page)
    page.goto(f"{stack.url}/keys/")
    visitor.until("document.querySelector('#keys li')")  # the first key, of the seed
    token = make_key(page, name)
    assert stack.get("/v1/me", Authorization=f"Bearer {token}")[0] == 200
    page.reload()
    page.get_by_role("button", name=f"Rename {name}").click()
    page.fill("#new-name", "phone")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke phone").click()
    page.click("#revoke [type=submit]")

    visitor.until(
        "![...document.querySelectorAll('#keys li')].some((row) => row.innerText.includes('phone'))"
    )
    assert stack.get("/v1/me", Authorization=f"Bearer {token}")[0] == 401
    assert token not in page.content()
    assert visitor.faults == []


def test_on_a_phone_in_the_dark_nothing_is_cut_off(browser, stack):
    context = browser.new_context(**PHONE)
    page = context.new_page()
    Reader(page)
    page.goto(f"{stack.url}/keys/")
    make_key(page, "W" * 100)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_a_password_is_changed_and_the_account_deleted(page, address, person):  # noqa: F811
    visitor = log_in(page, f"{address}/account/", person)
    for field, word in (("old_password", "correct horse"), ("new_password1", NEXT), ("new_password2", NEXT)):
        page.fill(f"[name={field}]", word)
    page.click("#password [type=submit]")
    page.wait_for_selector(".done")
    page.click("#delete-account")
    page.fill("#farewell-password", "guess")
    page.keyboard.press("Enter")
    visitor.until("document.querySelector('#farewell-error').innerText.includes('not the password')")
    page.fill("#farewell-password", NEXT)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/login/")

    page.fill("[name=username]", person)
    page.fill("[name=password]", NEXT)
    page.click("[type=submit]")
    assert "correct username and password" in page.inner_text("[role=alert]")
    assert visitor.faults == []
