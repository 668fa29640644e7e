"""The import map: arrows go downwards only, and each third-party name lives in one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mediafs

ROOT = Path(mediafs.__file__).parent

ALLOWED = {
    "__init__": set(),
    "__main__": {"cli"},
    "cli": {
        "app",
        "config",
        "control",
        "errors",
        "instance",
        "model",
        "mount",
        "notify",
        "paths",
        "sandbox",
        "tree",
        "vendors",
        "writing",
        "__init__",
    },
    "app": {
        "catalogue",
        "config",
        "errors",
        "instance",
        "model",
        "paths",
        "reading",
        "remote",
        "sync",
        "tree",
        "vendor_of",
        "vendors",
        "writing",
    },
    "vendor_of": {"config", "errors", "vendors"},
    "mount": {"tree", "errors", "model"},
    "config": {"vendors", "errors", "model"},
    "control": {"errors", "model"},
    "instance": {"errors", "model"},
    "paths": {"errors"},
    "notify": set(),
    "tree": {"catalogue", "reading", "errors", "model"},
    "writing": {"source", "catalogue", "errors", "model"},
    "sync": {"source", "catalogue", "errors", "model"},
    "remote": {"vendors", "source", "errors", "model"},
    "reading": {"source", "errors", "model"},
    "vendors": {"errors", "model"},
    "catalogue": {"errors", "model"},
    "source": {"model"},
    "model": set(),
    "errors": set(),
    "sandbox": set(),
}

HOMES = {
    "httpx": "remote",
    "httpcore": "remote",
    "pyfuse3": "mount",
    "sqlite3": "catalogue",
    "h11": "sandbox",
    "defusedxml": "vendors",
    "jwt": "vendors",
}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import, those inside functions too."""
    package = ("mediafs", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            names = [alias.name for alias in node.names] if module == "mediafs" else [""]
            yield from ((node.lineno, ".".join(filter(None, (module, name)))) for name in names)


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def test_the_map_has_no_cycle_and_names_every_room() -> None:
    assert {room_of(path) for path in modules()} == set(ALLOWED)
    assert list(TopologicalSorter(ALLOWED).static_order())


def test_no_arrow_goes_upwards() -> None:
    wrong = []
    for path in modules():
        room = room_of(path)
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] != "mediafs" or len(parts) < 2:
                continue
            to = parts[1] if parts[1] in ALLOWED else "__init__"
            if to != room and to not in ALLOWED[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} must not import {to}")
    assert not wrong, "\n".join(wrong)


def test_the_disk_cache_knows_little_of_the_room_around_it() -> None:
    known = {"checks", "disk", "files", "options", "spool"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: reading.disk must not import {name}"
        for path in sorted((ROOT / "reading" / "disk").glob("*.py"))
        for line, name in imports(path)
        if name.startswith("mediafs.reading") and not known.issuperset(name.split(".")[2:3] or ["reading"])
    ]
    assert not wrong, "\n".join(wrong)


def test_each_library_lives_in_one_room() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name} belongs to {HOMES[name.split('.')[0]]}"
        for path in modules()
        for line, name in imports(path)
        if HOMES.get(name.split(".")[0], room_of(path)) != room_of(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_stay_small() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 400}
    assert not long
