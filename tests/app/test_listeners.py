"""Addresses, and what is said when one cannot be had."""

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from app.listeners import Address, CannotListen, bind, port_holder


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:7440", "127.0.0.1", 7440, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("[::1]:80", "::1", 80, True),
        ("localhost:7440", "localhost", 7440, True),
        ("a.localhost:7440", "a.localhost", 7440, True),
        (":7440", "0.0.0.0", 7440, False),
        ("0.0.0.0:7440", "0.0.0.0", 7440, False),
        ("192.168.1.4:7440", "192.168.1.4", 7440, False),
        ("example.org:7440", "example.org", 7440, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["7440", "host", "host:port", "host:99999", "host:-1", "host:٣"])
def test_no_address(text: str) -> None:
    with pytest.raises(CannotListen, match="write HOST:PORT"):
        Address.parse(text)


def test_taken_port_names_its_holder() -> None:
    with bind(Address("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        assert f"(pid {os.getpid()})" in port_holder(port)
        with pytest.raises(CannotListen, match=rf"in use by .* \(pid {os.getpid()}\); .*QUARTERDECK_LISTEN"):
            bind(Address("127.0.0.1", port))


def test_unix_socket_is_private_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        with bind(Address(path=str(path))) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                listener.accept()[0].close()


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="is no socket"):
        bind(Address(path=str(path)))
    assert path.read_text() == "precious"


def test_a_path_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match="too long"):
        bind(Address(path=str(tmp_path / ("x" * 120))))


def test_the_socket_of_a_group(tmp_path: Path) -> None:
    mine = grp.getgrgid(os.getgid()).gr_name
    with bind(Address(path=str(tmp_path / "s")), mine):
        about = (tmp_path / "s").stat()
        assert (stat.S_IMODE(about.st_mode), about.st_gid) == (0o660, os.getgid())
    with pytest.raises(CannotListen, match="no group is named 'no-such-group'"):
        bind(Address(path=str(tmp_path / "t")), "no-such-group")


def test_a_socket_behind_which_somebody_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind(Address(path=str(path))):
        with pytest.raises(CannotListen, match="another program listens"):
            bind(Address(path=str(path)))
        assert path.exists()
