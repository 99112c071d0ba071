"""Multi-user mode: log-in, log-out, and ended sessions."""

import pytest

from tests.browser.browser import Reader


def log_in(page, address, password):
    page.goto(address)
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", password)
    page.click("[type=submit]")


@pytest.fixture
def visitor(page, address, password):
    visitor = Reader(page)
    log_in(page, address, password)
    visitor.until("document.querySelector('.block, #empty:not([hidden])')")
    return visitor


def test_log_in_redirects_back_to_the_requested_page(page, address, password):
    path = "/d/00000000-0000-4000-8000-000000000000"
    log_in(page, address + path, password)

    page.wait_for_url(address + path)


def test_a_wrong_password_shows_an_error(page, address):
    log_in(page, address, "guess")

    assert "correct username and password" in page.inner_text("[role=alert]")


def test_a_logged_in_user_pastes_a_text(visitor):
    visitor.page.click(".top [data-compose]")
    visitor.page.fill("#new-text", "Words of my own.")
    visitor.page.click("#compose [type=submit]")

    visitor.until("document.querySelector('.block')?.innerText === 'Words of my own.'")
    assert "admin" in visitor.page.inner_text(".library-foot")


def test_logging_out_leads_to_the_log_in_page(visitor, address):
    visitor.page.click(".library-foot [type=submit]")

    visitor.page.wait_for_url(f"{address}/login/")


def test_an_ended_session_shows_an_error(visitor):
    visitor.page.context.clear_cookies()
    visitor.page.click(".top [data-compose]")
    visitor.page.fill("#new-text", "Too late.")
    visitor.page.click("#compose [type=submit]")

    visitor.until("document.querySelector('#new-error').innerText.includes('no longer logged in')")
