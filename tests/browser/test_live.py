"""The page follows the stream: changes within 100 ms, reconnects, staleness, a new boot, orders and their refusals."""

import re
import time
from statistics import median
from typing import Any

from playwright.sync_api import Page, expect

from supervisor_core.messages import Add, Remove, Restart, Stop
from tests.support.asgi import a_program

from .conftest import Service, Watched

# Notes the moment (milliseconds since the epoch) of the first frame after each change of an element's text.
WATCH = """(selector) => {
  const element = document.querySelector(selector);
  window.seen = [[element.textContent, 0]];
  new MutationObserver(() => {
    const text = element.textContent;
    requestAnimationFrame(() => window.seen.push([text, performance.timeOrigin + performance.now()]));
  }).observe(element, {characterData: true, childList: true, subtree: true});
}"""


def row(page: Page, name: str) -> Any:
    return page.locator(f".row[data-worker={name}]")


def state(page: Page, name: str) -> Any:
    return row(page, name).locator("[data-part=word]")


def delays(page: Page, service: Service, selector: str, name: str) -> list[float]:
    """Milliseconds from each event of a restart to its text on the page."""
    found = []
    page.evaluate(WATCH, selector)
    steps = (
        ("stopping", lambda: service.host._decide(Restart(name, by="curl"))),
        ("starting", lambda: service.host.end(name, signal=15)),
        ("running", lambda: service.host.come_up(name, 5555)),
    )
    for word, step in steps:
        at = service.call(lambda step=step: (time.time(), step())[0]) * 1000
        page.wait_for_function("word => window.seen.at(-1)[0] === word", arg=word)
        found.append(page.evaluate("window.seen.at(-1)[1]") - at)
        page.wait_for_timeout(120)  # events are apart as they are in life, not one flush
    assert [text for text, _ in page.evaluate("window.seen")] == ["running", "stopping", "starting", "running"]
    return found


def test_a_restart_is_seen_step_by_step_within_100_ms_each(service: Service, watched: Watched) -> None:
    table = watched.open("/")
    found = []
    for name in ("web", "db", "mailer"):
        found.append(delays(table, service, f".row[data-worker={name}] [data-part=word]", name))
        print(name, [round(ms) for ms in found[-1]])
    expect(row(table, "web").locator("[data-part=run]")).to_have_text("run 2 · 5555")
    worker = watched.open("/workers/web")
    found.append(delays(worker, service, "#top [data-part=word]", "web"))
    print("worker page", [round(ms) for ms in found[-1]])
    for step in zip(*found, strict=True):  # the middle of four, so that a busy machine does not decide
        assert median(step) < 100
    assert table.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_one_stream_serves_all_tabs_of_a_browser(service: Service, watched: Watched) -> None:
    context = watched.context()
    pages = [context.new_page() for _ in range(4)]
    for page in pages:
        page.goto(service.url + "/")
        page.wait_for_selector("#pill[data-state=live]")
    assert service.call(lambda: service.services.streams) == 1
    service.call(service.host.end, "web", 3)
    for page in pages:
        expect(state(page, "web")).to_have_text("failed")


def test_without_a_shared_worker_each_tab_has_its_own_stream(service: Service, watched: Watched) -> None:
    context = watched.context()
    context.add_init_script("delete window.SharedWorker")
    page = context.new_page()
    page.goto(service.url + "/")
    page.wait_for_selector("#pill[data-state=live]")
    service.call(service.host.end, "web", 3)
    expect(state(page, "web")).to_have_text("failed")


def test_a_cut_is_shown_and_healed_without_a_reload(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    page.evaluate("window.same = true")
    service.stop()
    expect(page.locator("#pill")).to_have_attribute("data-state", "reconnecting")
    expect(page.locator("#pill")).to_contain_text("data from")
    service.call(service.host.end, "web", 3)
    service.start()
    expect(page.locator("#pill")).to_have_attribute("data-state", "live")
    expect(state(page, "web")).to_have_text("failed")
    assert page.evaluate("window.same")


def test_a_new_boot_brings_a_new_picture(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    page.evaluate("window.same = true")
    service.stop()
    service.new_boot()
    service.call(service.host.come_up, "slow", 777)
    service.start()
    expect(page.locator("#pill")).to_have_attribute("data-state", "live")
    expect(state(page, "slow")).to_have_text("running")
    expect(state(page, "db")).to_have_text("starting")
    expect(row(page, "broken").locator("[data-part=run]")).to_have_text("run 1")
    assert page.evaluate("window.same")


def test_old_data_looks_old(service: Service, watched: Watched) -> None:
    context = watched.context()
    context.add_init_script("delete window.SharedWorker")
    page = context.new_page()
    page.clock.install()
    page.goto(service.url + "/")
    page.wait_for_selector("#pill[data-state=live]")
    service.stop()
    expect(page.locator("#pill")).to_have_attribute("data-state", "reconnecting")
    page.clock.run_for(32_000)
    expect(page.locator("#pill")).to_have_attribute("data-state", "stale")
    expect(page.locator("#banner")).to_contain_text("Not live since")
    expect(page.locator("main")).to_have_attribute("data-stale", "")
    assert page.title().startswith("⚠")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", row(page, "web").locator("[data-part=age]").inner_text())
    service.call(service.host.end, "web", 3)
    service.start()
    page.get_by_role("button", name="Retry now", exact=True).click()
    expect(page.locator("#pill")).to_have_attribute("data-state", "live")
    page.clock.run_for(400)
    expect(page.locator("#banner")).to_have_text("Live again. 1 worker changed meanwhile.")
    assert not page.title().startswith("⚠")


def test_the_end_of_a_session_asks_to_sign_in(service: Service, watched: Watched) -> None:
    page = watched.open("/?q=web")
    cookie = page.context.cookies()[0]["value"]
    caller = service.credentials.session(cookie.encode())
    assert caller is not None
    service.call(service.credentials.close_session, caller)
    service.stop()
    service.start()
    link = page.get_by_role("dialog").get_by_role("link", name="Sign in")
    expect(link).to_have_attribute("href", "/sign-in?next=%2F%3Fq%3Dweb")
    expect(state(page, "web")).to_have_text("running")


def test_a_click_is_pending_at_once_and_the_stream_says_the_truth(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    asked: list[Any] = []
    page.route("**/api/v1/workers/*/restart*", lambda route: asked.append(route))
    with page.expect_request("**/api/v1/workers/*/restart*"):
        row(page, "web").get_by_role("button", name="Restart web").click()
    # The service does not know yet, so this is the page alone.
    expect(row(page, "web").locator("[data-part=asked]")).to_have_text("restart asked…", timeout=100)
    expect(state(page, "web")).to_have_text("running")
    (route,) = asked
    route.continue_()
    expect(state(page, "web")).to_have_text("stopping")
    expect(row(page, "web").locator("[data-part=asked]")).to_have_text("")
    service.call(service.host.end, "web", None, 15)
    service.call(service.host.come_up, "web", 99)
    expect(state(page, "web")).to_have_text("running")
    expect(row(page, "web").locator("[data-part=run]")).to_have_text("run 2 · 99")


def test_stopping_what_others_need_names_them(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    row(page, "db").get_by_role("button", name="Stop db").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("li")).to_have_text(["mailer", "web"])
    dialog.get_by_role("button", name="Cancel").click()
    assert not [order for order in service.host.told if isinstance(order, Stop)]
    row(page, "db").get_by_role("button", name="Stop db").click()
    dialog.get_by_role("button", name="Stop 3 workers").click()
    expect(state(page, "web")).to_have_text("stopping")
    expect(state(page, "mailer")).to_have_text("stopping")
    stop = next(order for order in service.host.told if isinstance(order, Stop))
    assert (stop.name, stop.cascade, stop.by) == ("db", True, "owner")
    expect(row(page, "db").locator(".state")).to_contain_text("running stops after web, mailer")


def test_an_order_upon_an_old_view_is_refused_where_it_was_given(service: Service, watched: Watched) -> None:
    page = watched.open("/")

    def late(route: Any) -> None:
        service.call(service.host.end, "web", 3)
        route.continue_()

    page.route("**/api/v1/workers/web/restart*", late)
    row(page, "web").get_by_role("button", name="Restart web").click()
    alert = row(page, "web").get_by_role("alert")
    expect(alert).to_contain_text("it is failed")
    expect(row(page, "web").locator("[data-part=asked]")).to_have_text("")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)


def test_rows_do_not_move_under_the_focus(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    names = "[...document.querySelectorAll('.group > .row')].map(row => row.dataset.worker)"
    before = page.evaluate(names)
    row(page, "mailer").locator("a").focus()
    service.call(service.host.end, "web", 3)
    expect(state(page, "web")).to_have_text("failed")
    assert page.evaluate(names) == before
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function(f"() => {names}.indexOf('web') === 1")


def test_workers_come_and_go(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    service.call(service.host._decide, Add(a_program("fresh", autostart=False), by="api"))
    expect(state(page, "fresh")).to_have_text("stopped")
    expect(row(page, "fresh").locator("a")).to_have_attribute("href", "/workers/fresh")
    service.call(service.host._decide, Remove("fresh", by="api"))
    expect(row(page, "fresh")).to_have_count(0)


def test_the_filter_is_in_the_address(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    page.keyboard.press("/")
    page.keyboard.type("run we")
    expect(page.locator(".group > .row:visible")).to_have_count(1)
    assert page.url.endswith("/?q=run+we")
    page.reload()
    page.wait_for_selector("#pill[data-state=live]")  # the rows come filtered; what follows needs the script
    expect(page.locator(".group > .row:visible")).to_have_count(1)
    page.get_by_role("searchbox").fill("nobody")
    expect(page.locator("#none")).to_contain_text("No worker matches “nobody”. 9 hidden.")
    page.get_by_role("link", name="Clear the filter").click()
    page.locator(".chip", has_text="failed").click()
    expect(page.locator(".group > .row:visible")).to_have_count(1)
    page.locator(".chip", has_text="done").click(modifiers=["Shift"])
    expect(page.locator(".group > .row:visible")).to_have_count(2)
    page.go_back()
    expect(page.locator(".group > .row:visible")).to_have_count(1)


def test_keys_walk_open_and_order(service: Service, watched: Watched) -> None:
    page = watched.open("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next worker")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "flaky"
    page.keyboard.press("s")
    expect(state(page, "flaky")).to_have_text("starting")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/workers/broken")


def test_the_worker_page_says_why_it_waits(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/waiter")
    expect(page.locator("[data-part=reason]")).to_contain_text("waits for idle (stopped)")
    expect(page.locator("[data-part=reason] a")).to_have_attribute("href", "/workers/idle")
    expect(page.locator("#requires li")).to_contain_text("stopped · must be ready")
    page.goto(service.url + "/workers/broken")
    expect(page.locator("#last-exit")).to_contain_text("exit 137 (SIGKILL)")


def test_what_is_wrong_with_the_service_stands_at_the_top_while_it_lasts(service: Service, watched: Watched) -> None:
    names, conditions = ("log-disk-full", "state-folder-gone"), service.services.conditions
    service.call(conditions.replace, names, {"log-disk-full": "the logs of <b>web</b> have no room; free some space"})
    page = watched.open("/")
    lines = page.locator("#conditions p")
    expect(lines).to_have_text(["The logs of <b>web</b> have no room; free some space."])
    service.call(conditions.replace, names, dict.fromkeys(names, "all is lost; mend it"))
    expect(lines).to_have_text(["All is lost; mend it.", "All is lost; mend it."])
    service.call(conditions.replace, names, {"state-folder-gone": "all is lost; mend it"})
    expect(lines).to_have_count(1)
    expect(lines).to_have_attribute("title", re.compile("^since "))
    other = watched.open("/workers/web")
    expect(other.locator("#conditions p")).to_have_count(1)
    service.call(conditions.replace, names, {})
    for shown in (page, other):
        expect(shown.locator("#conditions")).to_be_hidden()
