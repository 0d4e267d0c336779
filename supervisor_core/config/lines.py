"""In which line of a TOML file each table, key and list item stands.

`tomllib` gives values without places; this walks the same text and notes places without values. It may assume that
the text is valid: `tomllib` has read it before. Known wart: two readers of one grammar, so a test compares their keys.
"""

import re
import tomllib

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}\n#]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'',
    re.DOTALL,
)


def find_lines(text: str) -> dict[Path, int]:
    """Gives the line (from 1) of every table, key and list item, by its path; a table's first mention counts."""
    return _Walk(text).run()


class _Walk:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[Path, int] = {}
        self.lists: dict[Path, int] = {}
        self._counted, self._line = 0, 1

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while not self._end():
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _end(self) -> bool:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at >= len(self.text)

    def _note(self, path: Path) -> None:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def _header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        keys = self._keys()
        self.at = self.text.index("]", self.at) + (2 if many else 1)
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            if many and position == len(keys) - 1:
                self.lists[path] = self.lists.get(path, -1) + 1
            if path in self.lists:
                path = (*path, self.lists[path])
        self._note(path)
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._end()
            if quoted := _STRING.match(self.text, self.at):
                keys.append(str(tomllib.loads(f"k = {quoted[0]}")["k"]))
                self.at = quoted.end()
            elif bare := _BARE.match(self.text, self.at):
                keys.append(bare[0])
                self.at = bare.end()
            self._end()
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _pair(self, table: Path) -> None:
        start = self.at
        path = (*table, *self._keys())
        after, self.at = self.at, start
        self._note(path)
        self.at = self.text.index("=", after) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._end()
        if quoted := _STRING.match(self.text, self.at):
            self.at = quoted.end()
        elif self.text.startswith("[", self.at):
            self._items(path)
        elif self.text.startswith("{", self.at):
            self.at += 1
            while not self._end() and not self.text.startswith("}", self.at):
                self._pair(path)
                self._end()
                self.at += self.text.startswith(",", self.at)
            self.at += 1
        elif plain := _PLAIN.match(self.text, self.at):
            self.at = plain.end()

    def _items(self, path: Path) -> None:
        self.at += 1
        index = 0
        while not self._end() and not self.text.startswith("]", self.at):
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._end()
            self.at += self.text.startswith(",", self.at)
        self.at += 1
