"""A disk that is full, read-only or gone while workers run: they stay, it is said, and what was lost is counted."""

import os
import shutil

import pytest

from supervisor_core.model import MIB
from tests.faults.mounts import inside, mount, tmpfs
from tests.faults.service import Events, Service, alive, stays, zoo

TALKS = """
[worker.talks]
command = {command}
restart = "never"
start_seconds = 0
logs = {{ on_full = "{on_full}", segment = "64KiB", min_free = 0 }}
"""


def fill(folder, size):
    """Writes a file until nothing more fits, and gives it."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            for block in (65536, 4096, 1):
                for _ in range(size // block + 1):
                    file.write(b"\0" * block)
        except OSError:
            pass
        try:
            while file.write(b"\0" * 512):
                pass
        except OSError:
            pass
    return ballast


def run_out(how, folder):
    """Takes all room or all inodes; gives the way back."""
    if how == "room":
        return fill(folder, 8 * MIB).unlink
    many = folder / "many"
    many.mkdir()
    try:
        for number in range(10_000):
            (many / str(number)).touch()
    except OSError:
        pass
    return lambda: shutil.rmtree(many)


def kept(client, worker):
    """The gaps, the numbers of the lines, and all bytes of a worker."""
    answer = client.get(f"/workers/{worker}/logs", params={"tail": 5000, "stream": "out"}).json()
    raw = client.get(f"/workers/{worker}/logs/download").content
    return answer["gaps"], [int(row["text"][:10]) for row in answer["lines"] if row["text"][:10].isdigit()], raw


@pytest.mark.row(41)
@pytest.mark.parametrize("how", ["room", "inodes"])
def test_a_full_log_disk_makes_workers_wait_and_goes_on_by_itself(tmp_path, mode, how):
    logs = tmp_path / "state" / "logs"
    os.mkdir(logs.parent, 0o700)
    # the worker alone would need over a minute to fill it: on a busy machine it must not be full before anybody looks
    words = zoo("until", "TERM", "write", "forever", "rate=400", "size=250", "seal")
    text = TALKS.format(command=words, on_full="wait") + stays("quiet")
    with Service(tmp_path, text, mode, wrap=tmpfs(logs, "size=8m,nr_inodes=64")) as service:
        pids = service.pid_of("talks"), service.pid_of("quiet")
        with Events(service.client()) as events:
            free = run_out(how, inside(service.pid, logs))
            (told,) = events.until("conditions", there=bool)
            assert told["name"] == "log-disk-full"
            assert "talks" in told["text"]
            with service.client() as client:
                assert client.get("http://localhost/readyz").json()["conditions"] == ["log-disk-full"]
                assert client.post("/workers/quiet/restart").status_code == 200, "others start and stop as before"
            assert service.pid_of("talks") == pids[0]
            free()
            assert events.until("conditions", there=lambda held: not held) == []
        with service.client() as client:
            client.post("/workers/talks/stop")
            gaps, numbers, _ = kept(client, "talks")
        assert gaps == []
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "who waits loses nothing"
        assert len(numbers) > 100


@pytest.mark.row(41)
def test_where_output_is_dropped_on_a_full_disk_each_byte_is_counted(tmp_path, mode):
    logs = tmp_path / "state" / "logs"
    os.mkdir(logs.parent, 0o700)
    words = zoo("until", "TERM", "write", "forever", "rate=400", "size=1000", "seal")
    text = TALKS.format(command=words, on_full="drop")
    # the worker alone would need 20 s to fill it: on a busy machine it must not be full before anybody looks
    with Service(tmp_path, text, mode, wrap=tmpfs(logs, "size=8m,nr_inodes=400")) as service:
        service.pid_of("talks")
        with Events(service.client()) as events:
            free = run_out("room", inside(service.pid, logs))
            assert [held["name"] for held in events.until("conditions", there=bool)] == ["log-disk-full"]
            free()
            events.until("conditions", there=lambda held: not held)
        with service.client() as client:
            client.post("/workers/talks/stop")
            gaps, _, raw = kept(client, "talks")
    sealed = raw.rpartition(b"seal ")[2]
    assert {gap["why"] for gap in gaps} == {"dropped"}
    lost = sum(gap["bytes"] for gap in gaps)
    assert lost > 0
    assert len(raw) + lost == int(sealed.split()[0]) * 1000 + len(b"seal " + sealed), "each byte is kept or counted"


GONE = """
[worker.talks]
command = {command}
start_seconds = 0
logs = {{ on_full = "drop" }}
""" + stays("quiet")


@pytest.mark.row(43)
@pytest.mark.parametrize("how", ["read-only", "unmounted", "deleted"])
def test_workers_stay_when_the_state_folder_goes(tmp_path, mode, how):
    state = tmp_path / "state"
    text = GONE.format(command=zoo("until", "TERM", "write", "forever", "rate=400", "size=100", "seal"))
    with Service(tmp_path, text, mode, wrap=() if how == "deleted" else tmpfs(state, "size=8m")) as service:
        there = inside(service.pid, state)
        with service.over_tcp(token=(there / "token").read_text().strip()) as client:
            pids = {row["name"]: row["pid"] for row in client.get("/workers").json()["workers"]}
            with Events(service.over_tcp(token=client.headers["Authorization"][7:])) as events:
                if how == "deleted":
                    shutil.rmtree(state)
                elif how == "unmounted":
                    mount(service.pid, "umount", "--lazy", str(state))
                else:
                    mount(service.pid, "--bind", str(state), str(state))
                    mount(service.pid, "-o", "remount,bind,ro", str(state))
                name = "state-folder-read-only" if how == "read-only" else "state-folder-gone"
                events.until("conditions", there=lambda held: name in {one["name"] for one in held})
                answer = client.get(f"http://127.0.0.1:{service.port}/readyz")
                assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
                rows = {row["name"]: row for row in client.get("/workers").json()["workers"]}
                assert {one: row["pid"] for one, row in rows.items()} == pids
                assert all(alive(pid) for pid in pids.values())
                if how == "read-only":
                    mount(service.pid, "umount", str(state))
                    events.until("conditions", there=lambda held: not held)
                    assert client.post("/workers/quiet/restart").status_code == 200
        service.signal(15)
        service.end()
    assert not any(alive(pid) for pid in pids.values())
    assert service.process.returncode == 0, service.text
    assert "Traceback" not in service.text


@pytest.mark.row(43)
def test_a_start_on_a_read_only_state_folder_is_refused_with_a_sentence(tmp_path, mode):
    state = tmp_path / "state"
    with Service(tmp_path, stays("quiet"), mode, wrap=tmpfs(state, "size=1m,ro")) as service:
        assert service.end() == 2
    assert (
        service.text
        == f"quarterdeck: the state folder {state} cannot be written; mend that, or choose one with --state\n"
    )


@pytest.mark.row(42)
def test_an_order_on_a_full_state_disk_is_carried_out_and_says_that_it_may_be_forgotten(tmp_path):
    keeper = tmp_path / "state" / "keeper"
    os.mkdir(keeper.parent, 0o700)
    with Service(tmp_path, stays("web", "other"), "kept", wrap=tmpfs(keeper, "size=1m")) as service:
        other = service.pid_of("other")
        with service.client() as client, Events(service.client()) as events:
            free = run_out("room", inside(service.pid, keeper))
            for _ in range(40):  # some records more have room in the last block
                client.post("/workers/web/start")
                pid = service.workers()["web"]["pid"]
                answer = client.post("/workers/web/stop")
                if answer.status_code != 200:
                    break
            assert (answer.status_code, answer.json()["code"]) == (507, "not_durable"), answer.text
            assert "No space left on device" in answer.json()["detail"]
            assert answer.json()["operation"]["state"] == "done"
            assert not alive(pid)
            assert alive(other)
            (told,) = events.until("conditions", there=bool)
            assert told["name"] == "state-disk-full"
            assert client.get("http://localhost/readyz").json()["conditions"] == ["state-disk-full"]
            free()
            assert events.until("conditions", there=lambda held: not held) == []
            assert client.post("/workers/web/start").status_code == 200
