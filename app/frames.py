"""Server-sent events as a client takes them apart. No HTTP here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event: its name, its data as JSON, and the id to resume after ("" when it has none)."""

    name: str
    data: Any
    id: str


def parse_frames(chunks: Iterator[bytes]) -> Iterator[Frame]:
    """Cuts a byte stream into events; at newlines alone, since a line of JSON may hold any other separator."""
    rest = b""
    name, id, data = "message", "", b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if not line:
                if data:
                    yield Frame(name, json.loads(data), id)
                name, id, data = "message", "", b""
                continue
            part, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match part:
                case b"event":
                    name = value.decode()
                case b"id":
                    id = value.decode()
                case b"data":
                    data += value
