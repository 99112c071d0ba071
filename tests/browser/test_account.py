"""Settings pages: API keys, password change and account deletion."""

import secrets

import pytest

from tests.browser.browser import Reader

ADD_ACCOUNT = (
    "from django.contrib.auth.models import User;User.objects.create_user({name!r}, password='correct horse')"
)
NEXT = "battery staple 9"
PHONE = {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark", "is_mobile": True}


@pytest.fixture
def username(stack):
    """User name of a new account."""
    name = f"ann-{secrets.token_hex(3)}"
    stack.manage("shell", "-v0", "-c", ADD_ACCOUNT.format(name=name))
    return name


def log_in(page, url, name, password="correct horse"):
    visitor = Reader(page)
    page.goto(url)
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    page.click("[type=submit]")
    visitor.until("!location.pathname.startsWith('/login')")
    return visitor


def make_key(page, name):
    page.fill("#key-name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#created:not([hidden])")
    return page.input_value("#token")


def test_a_key_is_shown_once_renamed_and_revoked(page, stack):
    name = "<b>lap & top</b>"
    visitor = Reader(page)
    page.goto(f"{stack.url}/keys/")
    visitor.until("document.querySelector('#keys li')")  # the key made by seeding
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
    assert visitor.errors == []


def test_the_keys_page_fits_a_narrow_screen_in_dark_mode(browser, stack):
    context = browser.new_context(**PHONE)
    page = context.new_page()
    Reader(page)
    page.goto(f"{stack.url}/keys/")
    make_key(page, "W" * 100)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_a_password_is_changed_and_the_account_deleted(page, address, username):
    visitor = log_in(page, f"{address}/account/", username)
    for field, word in (("old_password", "correct horse"), ("new_password1", NEXT), ("new_password2", NEXT)):
        page.fill(f"[name={field}]", word)
    page.click("#password [type=submit]")
    page.wait_for_selector(".done")
    page.click("#delete-account")
    page.fill("#delete-password", "guess")
    page.keyboard.press("Enter")
    visitor.until("document.querySelector('#delete-error').innerText.includes('not the password')")
    page.fill("#delete-password", NEXT)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/login/")

    page.fill("[name=username]", username)
    page.fill("[name=password]", NEXT)
    page.click("[type=submit]")
    assert "correct username and password" in page.inner_text("[role=alert]")
    assert visitor.errors == []
