"""What reaches the terminal of what workers write."""

import asyncio
import io

import pytest

from app.echo import echo, harmless
from supervisor_core.clock import Clock
from supervisor_core.memory import MemoryStore


@pytest.mark.parametrize(
    ("text", "plain", "coloured"),
    [
        ("plain", "plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m\x1b[0m"),
        ("a\x1b]52;c;aGk=\x07b", "a�]52;c;aGk=�b", "a�]52;c;aGk=�b"),
        ("\x1b[2Jgone", "�[2Jgone", "�[2Jgone"),
        ("a\u202eb\x9bc", "a�b�c", "a�b�c"),
        ("tab\tstays", "tab\tstays", "tab\tstays"),
    ],
)
def test_control_characters_do_not_pass(text: str, plain: str, coloured: str) -> None:
    assert harmless(text, colour=False) == plain
    assert harmless(text, colour=True) == coloured


def test_lines_carry_the_name_and_a_closed_terminal_ends_the_echo() -> None:
    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            super().write(text)
            if "last" in text:
                raise OSError("the terminal is gone")
            return len(text)

    async def main() -> str:
        store, terminal = MemoryStore(Clock().now), Terminal()
        echoing = asyncio.create_task(echo(store, ["a", "longer"], terminal))
        await asyncio.sleep(0)
        writer = store.open_stream("a", "out", 1)
        writer.append(b"first\n")
        writer.append(b"last\n")
        await asyncio.wait_for(echoing, 5)
        return terminal.getvalue()

    assert asyncio.run(main()) == "a      | first\na      | last\n"
