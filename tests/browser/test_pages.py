"""The pages themselves: useful without scripts, signed in and out, accessible, under a prefix, small."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app import assets
from supervisor_core.messages import Restart, Stop

from .conftest import Service, Watched, fleet, play_fleet


def problems(page: Page) -> list[str]:
    """What axe has against a page: rule and element."""
    # The page's policy forbids foreign scripts, so axe comes through the debugger.
    response = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}" for v in response["violations"] for node in v["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_stands_in_anybodys_way(service: Service, watched: Watched, theme: Any, width: int) -> None:
    page = watched.open("/", viewport={"width": width, "height": 900}, color_scheme=theme)
    for path in ("/", "/workers/web", "/workers/broken", "/workers/nobody", "/login?code=no"):
        page.goto(service.url + path)
        if path in ("/", "/workers/web", "/workers/broken"):
            page.wait_for_selector("#pill[data-state=live]")
        assert problems(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    for word, open_it in (
        ("keys", lambda: page.keyboard.press("?")),
        ("stop", lambda: page.keyboard.press("Shift+S")),
    ):
        page.goto(service.url + "/workers/db")
        page.wait_for_selector("#pill[data-state=live]")
        open_it()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert problems(page) == [], word


def test_targets_are_large_enough(service: Service, watched: Watched) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for options, least in (({}, 24), (phone, 40)):
        for path in ("/", "/workers/web"):
            page = watched.open(path, **options)
            sizes = page.evaluate("""() => [...document.querySelectorAll('button, a.chip, input:not([type=hidden])')]
              .filter(one => one.offsetParent)
              .map(one => [one.textContent.trim(), one.getBoundingClientRect().height])""")
            assert [pair for pair in sizes if pair[1] < least] == []


def test_rows_buttons_and_lines_are_there_without_scripts(service: Service, watched: Watched) -> None:
    page = watched.open("/", ready=False, java_script_enabled=False)
    expect(page.locator(".group > .row")).to_have_count(9)
    expect(page.locator(".row[data-worker=broken] .state")).to_contain_text("failed exit 137 (SIGKILL)")
    expect(page.locator(".row[data-worker=waiter] .state")).to_contain_text("waiting: idle")
    expect(page.get_by_text("Live updates need JavaScript")).to_be_visible()
    page.locator(".chip", has_text="failed").click()
    expect(page.locator(".group > .row")).to_have_count(1)
    page.goto(service.url + "/?q=web")
    page.get_by_role("link", name="web").click()
    expect(page.locator(".line.err .text")).to_have_text("ERROR upstream is gone")
    page.get_by_role("button", name="Restart web").click()
    page.wait_for_url("**/workers/web")
    expect(page.locator(".title-line .state")).to_contain_text("stopping to restart")
    assert [o.by for o in service.host.told if isinstance(o, Restart)] == ["owner"]


def test_a_form_of_an_old_page_does_nothing_and_says_so(service: Service, watched: Watched) -> None:
    page = watched.open("/", ready=False, java_script_enabled=False)
    service.call(service.host.end, "web", 3)
    page.get_by_role("button", name="Stop web").click()
    expect(page.get_by_text("it is now: failed. Nothing was done.")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    assert not [o for o in service.host.told if isinstance(o, Stop)]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "restart"}, 403),
        ({"action": "restart", "csrf": "0" * 64}, 403),
        ({"action": "explode", "csrf": None}, 400),
        ({"csrf": None}, 400),
        ({"action": "restart", "csrf": None, "if_version": "1:1"}, 409),
        ({"action": "restart", "csrf": None, "back": "//evil.example/"}, 200),
        ({"action": "restart", "csrf": None, "back": "https://evil.example/"}, 404),
    ],
)
def test_forged_and_odd_forms(service: Service, watched: Watched, fields: dict[str, Any], status: int) -> None:
    page = watched.open("/", ready=False)
    token = page.locator("[name=csrf]").first.get_attribute("value")
    given = {key: token if value is None else value for key, value in fields.items()}
    answer = page.request.post(
        f"{service.url}/workers/web/act", form=given, headers={"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status == status
    assert answer.url.startswith(service.url)
    if status in (400, 403, 409):
        assert not [o for o in service.host.told if isinstance(o, Restart)]


def test_sign_in_by_token_returns_to_what_was_asked(service: Service, browser: Browser) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(service.url + "/?q=web")
        page.wait_for_url("**/sign-in?next=**")
        assert "testhost" not in page.content()
        assert problems(page) == []
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not valid here")
        page.get_by_label("Token").fill(service.credentials.owner_token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/?q=web")
        expect(page.locator(".group > .row:visible")).to_have_count(1)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto(service.url + "/")
        page.wait_for_url("**/sign-in?next=**")
    finally:
        context.close()


def test_a_login_link_works_once(service: Service, browser: Browser) -> None:
    link = service.credentials.login_link(service.url)
    context = browser.new_context()
    try:
        page = context.new_page()
        for _ in range(2):  # looking at it does not use it up: mail programs look, too
            page.goto(link)
            assert problems(page) == []
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
        page.goto(link)
        expect(page.get_by_text("works once and for ten minutes")).to_be_visible()
    finally:
        context.close()


def test_the_theme_is_kept_and_rendered_by_the_server(service: Service, watched: Watched) -> None:
    page = watched.open("/", color_scheme="light")
    button = page.locator("[data-do=theme]")
    button.click()
    button.click()
    expect(button).to_have_attribute("aria-label", "Theme: dark")
    assert 'data-theme="dark"' in page.request.get(service.url + "/").text()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(227, 232, 238)"


@pytest.fixture
def under_jobs(browser: Browser) -> Iterator[Service]:
    made = Service(fleet(), root_path="/jobs")
    made.start()
    made.call(play_fleet, made.host)
    yield made
    made.close()


def test_everything_works_under_a_prefix(under_jobs: Service, browser: Browser) -> None:
    watched = Watched(browser, under_jobs)
    try:
        page = watched.open("/")
        paths: list[str] = []
        page.on("request", lambda request: paths.append(request.url))
        page.get_by_role("link", name="web").click()
        page.wait_for_url("**/jobs/workers/web")
        page.wait_for_selector("#pill[data-state=live]")
        expect(page.locator(".line.err")).to_be_visible()
        page.get_by_role("button", name="Restart web").click()
        expect(page.locator("#top [data-part=word]")).to_have_text("stopping")
        page.locator("#requires a").click()
        page.wait_for_url("**/jobs/workers/db")
        assert [path for path in paths if not path.startswith(under_jobs.url + "/")] == []
    finally:
        for context in watched.contexts:
            context.close()
    assert watched.problems == []


def test_two_instances_on_one_host_name_keep_their_sessions(
    service: Service, under_jobs: Service, browser: Browser
) -> None:
    context = browser.new_context()
    try:
        context.add_cookies([service.cookie(), under_jobs.cookie()])
        page = context.new_page()
        for one in (service, under_jobs, service):
            page.goto(one.url + "/")
            page.wait_for_selector("#pill[data-state=live]")
    finally:
        context.close()


def test_static_files_are_for_ever_or_not_at_all(service: Service, watched: Watched) -> None:
    page = watched.open("/", ready=False)
    version = assets.version()
    for path, status in (
        (f"/static/{version}/js/hub.js", 200),
        (f"/static/{version}/css/tokens.css", 200),
        ("/static/000000000000/js/hub.js", 404),
        (f"/static/{version}/js/", 404),
        (f"/static/{version}/..%2f..%2fpyproject.toml", 404),
        (f"/static/{version}/js/nothing.js", 404),
        ("/favicon.ico", 200),
    ):
        answer = page.request.get(service.url + path)
        assert answer.status == status, path
        if status == 200 and "static" in path:
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_first_page_is_small(service: Service, watched: Watched) -> None:
    page = watched.open("/", ready=False)
    text = page.request.get(service.url + "/").text()
    assert len(gzip.compress(text.encode())) < 30 * 1024
    # The policy allows neither, so a template must not have them.
    assert not re.search(r"<[^>]+ (style|on\w+)=", text)
    for path in Path(assets.TEMPLATES).glob("*.html"):
        assert not re.search(r"\|\s*safe\b|<style|javascript:", path.read_text(encoding="utf-8")), path
