"""Where templates and static files are, and the version under which static files may be kept for ever.

In a checkout they stand beside the package, in the wheel inside it (`_web/`). Nothing here knows HTTP.
Known wart: the version is computed once, so a developer restarts the service after an edit of a static file.
"""

import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "_web" if (_PACKAGE / "_web").is_dir() else _PACKAGE.parent

TEMPLATES = _ROOT / "templates"
STATIC = _ROOT / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def files(root: Path = STATIC) -> dict[str, Path]:
    """Every static file by its path in a URL; what is not listed does not exist, so no path can lead elsewhere."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in TYPES)
    return {path.relative_to(root).as_posix(): path for path in found}


@cache
def version(root: Path = STATIC) -> str:
    """Twelve hex digits that change when any static file does."""
    digest = hashlib.sha256()
    for name, path in files(root).items():
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
