"""The log viewer: follow, pause, scroll, older lines, wrap, copy; no line lost or doubled; hostile text stays text."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from supervisor_core.logs import MemoryStore
from supervisor_core.messages import Restart

from .conftest import Service, Watched

TOP = "document.querySelector('#log').scrollTop"
AT_END = """() => {
  const log = document.querySelector('#log');
  return log.scrollTop + log.clientHeight >= log.scrollHeight - 2;
}"""
FIRST = """() => {
  const box = document.querySelector('#log').getBoundingClientRect();
  const rows = [...document.querySelectorAll('.line:not(.rule)')];
  const row = rows.find(row => row.getBoundingClientRect().bottom > box.top + 1);
  return row ? row.querySelector('.text').textContent : '';
}"""


HELD = "Number(document.querySelector('[data-log=said]').textContent.replace(/\\D/g, ''))"
STANDS = """() => new Promise(done => {
  const log = document.querySelector('#log');
  const look = was => log.scrollTop === was ? done() : requestAnimationFrame(() => look(log.scrollTop));
  requestAnimationFrame(() => look(log.scrollTop));
})"""


def write(service: Service, name: str, first: int, last: int) -> None:
    service.call(service.host.write, name, *(f"line {n}" for n in range(first, last)))


def line(page: Page, text: str) -> Any:
    return page.locator(".line .text").get_by_text(text, exact=True)


def all_text(page: Page) -> list[str]:
    """Every line that the page holds, picked with the gutter and copied as a reader would. The first must be line 0."""
    page.keyboard.press("Home")
    page.wait_for_function(f"() => {TOP} === 0 && ({FIRST})() === 'line 0'")  # the rows come after the scrolling
    page.locator(".line .time").first.click()
    page.keyboard.press("End")
    page.wait_for_function(AT_END)
    page.locator(".line .time").last.click(modifiers=["Shift"])
    expect(page.locator("[data-log=copy]")).to_contain_text("lines")
    page.locator("[data-log=copy]").click()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    return copied.split("\n")


def test_it_follows_until_the_reader_scrolls_up(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db")
    expect(page.locator(".empty")).to_have_text("No output yet.")
    write(service, "db", 0, 300)
    expect(line(page, "line 299")).to_be_visible()
    expect(page.locator("[data-log=said]")).to_have_text("Following · 300 lines")
    page.locator("#log").hover()
    page.mouse.wheel(0, -1500)
    expect(page.locator("[data-log=follow]")).to_have_attribute("aria-pressed", "false")
    page.evaluate(STANDS)
    before = page.evaluate(FIRST)
    write(service, "db", 300, 360)
    expect(page.locator("[data-log=end]")).to_have_text("↓ 60 new")
    assert page.evaluate(FIRST) == before
    page.locator("[data-log=end]").click()
    expect(line(page, "line 359")).to_be_visible()
    page.locator("#log").hover()
    page.mouse.wheel(0, -400)
    expect(page.locator("[data-log=follow]")).to_have_attribute("aria-pressed", "false")
    page.mouse.wheel(0, 5000)
    expect(page.locator("[data-log=follow]")).to_have_attribute("aria-pressed", "true")
    write(service, "db", 360, 361)
    expect(line(page, "line 360")).to_be_visible()


def test_pause_freezes_the_view_while_lines_come(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db")
    write(service, "db", 0, 50)
    expect(line(page, "line 49")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.locator("[data-log=pause]")).to_have_attribute("aria-pressed", "true")
    write(service, "db", 50, 80)
    expect(page.locator("[data-log=end]")).to_have_text("↓ 30 new")
    assert line(page, "line 50").count() == 0
    page.keyboard.press(" ")
    expect(line(page, "line 79")).to_be_visible()
    expect(page.locator("[data-log=said]")).to_contain_text("Following")


def test_older_lines_come_when_the_reader_goes_up_and_the_view_stays(service: Service, watched: Watched) -> None:
    write(service, "db", 0, 3000)
    page = watched.open("/workers/db")
    # The page comes with its last lines; only those of its stream have others before them.
    expect(page.locator("[data-log=said]")).to_have_text("Following · 500 lines")
    page.locator("#log").focus()
    page.keyboard.press("Home")
    page.locator("#log").hover()
    while (held := page.evaluate(HELD)) < 3000:
        page.mouse.wheel(0, -20_000)
        page.wait_for_function(f"held => {HELD} > held", arg=held)
    page.mouse.wheel(0, -20_000)
    page.wait_for_function(f"() => ({FIRST})() === 'line 0'")
    page.keyboard.press("End")
    expect(line(page, "line 2999")).to_be_visible()
    expect(page.locator("[data-log=said]")).to_have_text("Following · 3,000 lines")


def test_a_reconnect_loses_and_doubles_nothing(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db", permissions=["clipboard-read", "clipboard-write"])
    write(service, "db", 0, 100)
    expect(line(page, "line 99")).to_be_visible()
    for cut in range(1, 4):
        service.stop()
        write(service, "db", cut * 100, cut * 100 + 60)
        service.start()
        write(service, "db", cut * 100 + 60, cut * 100 + 100)
        expect(line(page, f"line {cut * 100 + 99}")).to_be_visible()
    assert all_text(page) == [f"line {n}" for n in range(400)]


def test_lines_that_are_gone_leave_a_gap(service: Service, watched: Watched) -> None:
    service.stop()
    service.host.logs = MemoryStore(service.host.now, lines=300)
    write(service, "db", 0, 100)
    service.start()
    page = watched.open("/workers/db")
    # The page comes with its lines; only once its stream stands behind them can it miss any.
    expect(page.locator("[data-log=said]")).to_have_text("Following · 100 lines")
    service.stop()
    write(service, "db", 100, 1000)
    service.start()
    expect(line(page, "line 999")).to_be_visible()
    expect(page.locator("[data-log=said]")).to_contain_text("1 gap")
    page.wait_for_function("""() => {
      document.querySelector('#log').scrollTop = 1900;  // twenty pixels a line, and a hundred lines before it
      return document.querySelector('.line.gap');
    }""")
    expect(page.locator(".line.gap .text")).to_contain_text("bytes deleted by retention")


def test_a_new_boot_goes_on_by_key(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db", permissions=["clipboard-read", "clipboard-write"])
    write(service, "db", 0, 100)
    expect(line(page, "line 99")).to_be_visible()
    service.stop()
    service.new_boot()
    write(service, "db", 100, 150)
    service.start()
    expect(line(page, "line 149")).to_be_visible()
    assert all_text(page) == [f"line {n}" for n in range(150)]


def test_copying_many_lines_gives_exactly_those(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db", permissions=["clipboard-read", "clipboard-write"])
    service.call(service.host.write, "db", *(f"\x1b[3{n % 8}mline\x1b[0m {n}" for n in range(450)))
    expect(page.locator("[data-log=said]")).to_contain_text("450 lines")
    assert all_text(page) == [f"line {n}" for n in range(450)]
    page.keyboard.press("Escape")
    expect(page.locator("[data-log=copy]")).to_be_disabled()


def test_a_selection_is_copied_without_the_gutter(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db", permissions=["clipboard-read", "clipboard-write"])
    write(service, "db", 0, 5)
    expect(line(page, "line 4")).to_be_visible()
    page.evaluate("""() => {
      const texts = document.querySelectorAll('.line:not(.rule) .text');
      getSelection().setBaseAndExtent(texts[1].firstChild, 2, texts[3].firstChild, 4);
    }""")
    page.keyboard.press("Control+c")
    assert page.evaluate("navigator.clipboard.readText()") == "ne 1\nline 2\nline"


def test_wrapped_rows_stand_where_arithmetic_says(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db", viewport={"width": 900, "height": 700})
    service.call(service.host.write, "db", *(f"{n} " + "x" * ((n * 37) % 400) for n in range(400)))
    expect(page.locator("[data-log=said]")).to_contain_text("400 lines")
    page.locator("[data-log=wrap]").click()
    expect(page.locator("#log")).to_have_class("log wrap")
    page.wait_for_function(AT_END)
    heights = page.evaluate("""() => {
      const log = document.querySelector('#log'), rows = log.querySelector('.rows');
      return [parseFloat(rows.style.top) + rows.offsetHeight, log.querySelector('.sheet').offsetHeight];
    }""")
    assert heights[0] == heights[1]
    page.locator("#log").hover()
    page.mouse.wheel(0, -3000)
    expect(page.locator("[data-log=follow]")).to_have_attribute("aria-pressed", "false")
    page.evaluate(STANDS)
    before = page.evaluate(FIRST)
    page.locator("[data-log=wrap]").click()
    expect(page.locator("#log")).to_have_class("log")  # the class goes with the rows
    assert page.evaluate(FIRST) == before


def test_a_line_in_the_making_is_replaced(service: Service, watched: Watched) -> None:
    page = watched.open("/workers/db")
    service.call(lambda: service.host.write("db", "10 %", end=""))
    expect(line(page, "10 %")).to_be_visible()
    expect(page.locator(".line.partial")).to_have_count(1)
    service.call(lambda: service.host.write("db", "\r20 %", end=""))
    expect(line(page, "20 %")).to_be_visible()
    service.call(service.host.write, "db", "\r100 %")
    expect(line(page, "100 %")).to_be_visible()
    expect(page.locator(".line:not(.rule)")).to_have_count(1)
    expect(page.locator(".line.partial")).to_have_count(0)


def test_hostile_text_stays_text(service: Service, watched: Watched) -> None:
    service.call(
        service.host.write,
        "db",
        "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>",
        "\x1b]8;;javascript:window.hit=1\x1b\\click me\x1b]8;;\x1b\\",
        "\x1b]8;;https://example.com/\x1b\\a real link\x1b]8;;\x1b\\",
        "safe \u202egnp.exe and nul \x00 and bell \x07",
        "</script></template>{{ 7*7 }}",
        "x" * 100_000,
        "A" + "\u0301" * 500,
        "\x1b[31m" * 2000 + "deep",
        "[" * 1000 + "]" * 1000,
    )
    for ready, options in ((True, {}), (False, {"java_script_enabled": False})):
        page = watched.open("/workers/db", ready=ready, **options)
        if ready:  # only the scripts make links: what is looked at now is theirs, and not what came with the page
            expect(page.locator("#log a")).to_have_count(1)
        expect(page.locator(".line:not(.rule) .text").first).to_have_text(
            "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
        )
        expect(page.get_by_text("safe [U+202E]gnp.exe and nul ␀ and bell ␇")).to_be_visible()
        expect(page.get_by_text("</script></template>{{ 7*7 }}")).to_have_count(1)
        assert page.locator("#log img, #log script").count() == 0
        if ready:
            expect(page.locator("#log a")).to_have_attribute("href", "https://example.com/")
            assert page.evaluate("window.hit") is None
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_flood_does_not_delay_a_state(service: Service, watched: Watched) -> None:
    """100,000 lines within two seconds; meanwhile a change is on the page within 100 ms, and every line is counted."""
    page = watched.open("/workers/db")
    page.evaluate("""() => {
      window.long = [];
      const take = list => window.long.push(...list.getEntries().map(entry => entry.duration));
      new PerformanceObserver(take).observe({type: 'longtask'});
      const paint = () => window.painted = performance.timeOrigin + performance.now();
      const word = document.querySelector('#top [data-part=word]');
      new MutationObserver(() => requestAnimationFrame(paint)).observe(word, {childList: true, subtree: true});
    }""")
    write(service, "db", 0, 1)
    expect(line(page, "line 0")).to_be_visible()  # the stream is there: a later one would begin with the last 500
    for n in range(40):
        write(service, "db", max(1, n * 2500), (n + 1) * 2500)
        if n == 20:
            at = service.call(lambda: (page_time(), service.host._decide(Restart("db", by="curl")))[0])
        page.wait_for_timeout(30)
    expect(page.locator("[data-log=said]")).to_contain_text("100,000 lines", timeout=20_000)
    expect(line(page, "line 99999")).to_be_visible()
    delay = page.evaluate("window.painted") - at
    print("state in a flood after", round(delay), "ms; long tasks", page.evaluate("window.long"))
    assert delay < 250  # 100 on a quiet machine; the server under test shares this process with the test
    assert not [ms for ms in page.evaluate("window.long") if ms > 100]


def page_time() -> float:
    return time.time() * 1000


@pytest.mark.parametrize(("key", "then"), [("", "Following"), ("Home", "Not following")], ids=["reading", "gone up"])
def test_lines_that_came_with_the_page_stay_while_its_stream_cannot_be_had(
    service: Service, watched: Watched, key: str, then: str
) -> None:
    write(service, "db", 0, 5)
    context = watched.context()
    context.route("**/logs/stream?*", lambda route: route.abort())
    page = context.new_page()
    page.goto(service.url + "/workers/db")
    expect(page.locator("[data-log=stream]")).to_contain_text("log stream lost")
    expect(line(page, "line 4")).to_be_visible()
    expect(page.locator(".empty")).to_have_count(0)
    if key:
        page.keyboard.press(key)
    expect(page.locator("[data-log=said]")).to_have_text(then)
    context.unroute_all()
    write(service, "db", 5, 6)
    expect(line(page, "line 5")).to_be_visible()
    expect(page.locator("[data-log=said]")).to_have_text(f"{then} · 6 lines")
