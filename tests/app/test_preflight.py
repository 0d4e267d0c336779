"""What is refused before the first worker is started, and which workers start."""

from pathlib import Path

import pytest

from app.listeners import Address, CannotListen
from app.preflight import CannotBegin, chosen, listen_addresses, refuse_open_doors
from app.settings import UpOptions
from supervisor_core.config import Config, ServiceSettings
from supervisor_core.model import Requirement, WorkerSpec

HERE, THERE = Address("127.0.0.1", 1), Address("0.0.0.0", 1)


def options(**told: bool) -> UpOptions:
    return UpOptions(Path("quarterdeck.toml"), **told)


def service(**keys: object) -> Config:
    return Config(service=ServiceSettings(**keys))  # type: ignore[arg-type]


def test_named_workers_start_with_all_that_they_require() -> None:
    specs = [
        WorkerSpec("db"),
        WorkerSpec("migrate", requires=(Requirement("db"),)),
        WorkerSpec("web", requires=(Requirement("migrate"),)),
        WorkerSpec("other"),
        WorkerSpec("spare", autostart=False),
    ]
    assert chosen(specs, ()) == specs
    assert [spec.name for spec in chosen(specs, ["web"]) if spec.autostart] == ["db", "migrate", "web"]
    assert [spec.name for spec in chosen(specs, ["spare"]) if spec.autostart] == ["spare"]
    with pytest.raises(CannotBegin, match="no worker is named 'wep'; the config file has db, migrate, other"):
        chosen(specs, ["wep"])


@pytest.mark.parametrize("open_by", [{"plain_http": True}, {"behind_proxy": ("10.0.0.1",)}])
def test_an_address_for_others_has_to_be_meant(open_by: dict[str, object]) -> None:
    refuse_open_doors([HERE], options(), Config())
    with pytest.raises(CannotListen, match=r"without TLS.*plain_http = true"):
        refuse_open_doors([HERE, THERE], options(), Config())
    refuse_open_doors([THERE], options(), service(**open_by))
    refuse_open_doors([THERE], options(plain_http=True), Config())


@pytest.mark.parametrize("beyond", [{"public_url": "https://a.example"}, {"behind_proxy": ("10.0.0.1",)}])
def test_no_auth_is_for_this_machine_alone(beyond: dict[str, object]) -> None:
    refuse_open_doors([HERE], options(no_auth=True), Config())
    with pytest.raises(CannotListen, match="loopback address alone"):
        refuse_open_doors([THERE], options(no_auth=True), Config())
    with pytest.raises(CannotListen, match="does not go together"):
        refuse_open_doors([HERE], options(no_auth=True), service(**beyond))


def test_the_command_line_wins_over_the_file() -> None:
    config = service(listen=("127.0.0.1:1", "unix:/run/a"))
    assert [str(a) for a in listen_addresses(options(), config)] == ["127.0.0.1:1", "unix:/run/a"]
    told = UpOptions(Path("quarterdeck.toml"), listen=("[::1]:2",))
    assert [str(a) for a in listen_addresses(told, config)] == ["[::1]:2"]
