"""The whole service as a person starts it, with a real program: restart it with an empty POST and watch the page."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Browser, expect

CONFIG = r'''
[worker.web]
command = ["/bin/sh", "-c", """
    trap 'trap "" TERM; sleep 0.3; exit 0' TERM  # what it starts now must not hear the signal to the tree
    echo run $QUARTERDECK_RUN
    while :; do sleep 0.05; done
"""]
start_seconds = 0.3

[worker.page]
command = ["/bin/sh", "-c", "exec sleep 600"]
requires = ["web"]
'''

# Every state with the moment of its first frame and the moment that the service gave it.
WATCH = """() => {
  const row = document.querySelector('.row[data-worker=web]'), word = row.querySelector('[data-part=word]');
  window.seen = [];
  window.watching?.disconnect();
  window.watching = new MutationObserver(() => {
    const text = word.textContent, seen = window.seen;
    const since = Date.parse(row.querySelector('[data-part=age]').title);
    requestAnimationFrame(() => seen.push([text, performance.timeOrigin + performance.now() - since]));
  });
  window.watching.observe(word, {characterData: true, childList: true, subtree: true});
}"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    login: str
    token: str

    def post(self, path: str) -> dict:
        request = urllib.request.Request(f"{self.url}{path}", method="POST")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            told: dict = json.load(answer)
        return told


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "quarterdeck.toml").write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "app",
        "-c",
        str(tmp_path / "quarterdeck.toml"),
        "--state",
        str(tmp_path / "state"),
    ]
    process = subprocess.Popen(
        [*command, "up", "--listen", "127.0.0.1:0"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        while "config" not in said:
            line = process.stdout.readline()
            assert line, f"the service ended: {said}"
            said += line
        login = re.search(r"http://\S+/login\?code=\S+", said)
        assert login, said
        url = login[0].partition("/login")[0]
        yield Running(process, url, login[0], (tmp_path / "state/token").read_text().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def test_restart_with_an_empty_post_while_the_page_looks_on(running: Running, browser: Browser) -> None:
    context = browser.new_context()
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))
    try:
        page = context.new_page()
        page.goto(running.login)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#pill[data-state=live]")
        word = page.locator(".row[data-worker=web] [data-part=word]")
        expect(word).to_have_text("running")
        steps = []
        for run in (2, 3, 4):
            page.evaluate(WATCH)
            told = running.post("/api/v1/workers/web/restart")
            assert (told["operation"]["state"], told["worker"]["run"]) == ("done", run)
            now = page.locator(".row[data-worker=web] [data-part=run]")
            expect(now).to_have_text(f"run {run} · {told['worker']['pid']}")
            page.wait_for_function("() => window.seen.at(-1)?.[0] === 'running'")
            steps.append(page.evaluate("window.seen"))
        print([[(text, round(ms)) for text, ms in one] for one in steps])
        # A page that gets no frame for the whole of a step cannot show it; a busy machine does not do that twice.
        whole = [one for one in steps if [text for text, _ in one] == ["stopping", "starting", "running"]]
        assert len(whole) >= 2
        for step in zip(*whole, strict=True):
            assert median(ms for _, ms in step) < 100
        page.get_by_role("link", name="web").click()
        page.wait_for_url("**/workers/web")
        page.wait_for_selector("#pill[data-state=live]")  # the lines come with the page, what happens now does not
        expect(page.locator(".line .text", has_text=re.compile("^run 4$"))).to_be_visible()
        left_at = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        expect(page.locator("#top [data-part=word]")).to_have_text("stopped")
        assert running.process.wait(5) == 0
        assert time.monotonic() - left_at < 3.5  # the worker itself takes 0.3 s
        expect(page.locator("#pill")).to_contain_text("leaving")
    finally:
        context.close()
    assert problems == []
