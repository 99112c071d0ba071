"""Several people: nobody reads without logging in, and a log-in that ends is noticed."""

import re
import urllib.request

import pytest

from config.local.program import free_port
from tests.browser.browser import Reader
from tests.waiting import PATIENCE, PROCESS_PATIENCE, wait_until


@pytest.fixture(scope="module")
def address(stack):
    """A web process of the same stack that asks who one is."""
    port = free_port()
    stack.start("web-multi", "run_web", "--port", str(port), MULTI_USER="1")
    there = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(there), PROCESS_PATIENCE)
    yield there
    stack.stop("web-multi")


def answers(address):
    try:
        return urllib.request.urlopen(f"{address}/health", timeout=PATIENCE).status == 200
    except OSError:
        return False


@pytest.fixture
def password(stack):
    return re.search(r"admin password: (\S+)", stack.credentials.read_text())[1]


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


def test_a_stranger_is_asked_to_log_in_and_comes_back_to_the_page(page, address, password):
    wanted = "/d/00000000-0000-4000-8000-000000000000"
    log_in(page, address + wanted, password)

    page.wait_for_url(address + wanted)


def test_a_wrong_password_is_said(page, address):
    log_in(page, address, "guess")

    assert "correct username and password" in page.inner_text("[role=alert]")


def test_somebody_who_logged_in_pastes_and_reads(visitor):
    visitor.page.click(".top [data-compose]")
    visitor.page.fill("#new-text", "Words of my own.")
    visitor.page.click("#compose [type=submit]")

    visitor.until("document.querySelector('.block')?.innerText === 'Words of my own.'")
    assert "admin" in visitor.page.inner_text(".library-foot")


def test_logging_out_leads_back_to_the_door(visitor, address):
    visitor.page.click(".library-foot [type=submit]")

    visitor.page.wait_for_url(f"{address}/login/")


def test_a_log_in_that_ended_meanwhile_is_said(visitor):
    visitor.page.context.clear_cookies()
    visitor.page.click(".top [data-compose]")
    visitor.page.fill("#new-text", "Too late.")
    visitor.page.click("#compose [type=submit]")

    visitor.until("document.querySelector('#new-error').innerText.includes('no longer logged in')")
