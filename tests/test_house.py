"""The house rules, as tests: floors, sizes, names, world access, and no CRM in the engine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "engine" / "crmmap"
MODULES = sorted(ENGINE.rglob("*.py"))

FLOORS = [
    {
        "errors",
        "values",
        "moments",
        "template",
        "declare",
        "events",
        "redact",
        "failpoint",
        "channels",
        "mysql_codes",
    },
    {"select", "kinds"},
    {"spec"},
    {"plan"},
    {"extract", "transform", "load"},
    {"loop", "report", "mock"},
    {"prove"},
    {"cli", "testing"},
    {"__main__", "__init__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SAME_FLOOR_ALLOWED = {0}  # values build on each other; every other floor's rooms stand apart

WORLD = {
    "requests": {"extract"},
    "urllib3": {"extract"},
    "yaml": {"spec"},
    "jinja2": {"template"},
    "fsspec": {"extract"},
    "http.server": {"mock", "extract"},
    "psycopg": {"load", "extract"},
    "pymysql": {"extract", "load"},
    "hypothesis": {"prove", "testing"},
    "subprocess": set(),
    "pickle": set(),
    "shelve": set(),
    "marshal": set(),
}
ENVIRONMENT_ROOMS = {"cli", "failpoint"}


def room_of(path: Path) -> str:
    first = path.relative_to(ENGINE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path: Path) -> str:
    return str(path.relative_to(ENGINE))


def test_every_room_stands_on_a_floor() -> None:
    assert {room_of(path) for path in MODULES} <= set(FLOOR_OF)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        if not name.startswith("crmmap."):
            continue
        other = name.split(".")[1]
        if other == room or other not in FLOOR_OF:
            continue
        below = FLOOR_OF[other] < FLOOR_OF[room]
        beside = FLOOR_OF[other] == FLOOR_OF[room] and FLOOR_OF[room] in SAME_FLOOR_ALLOWED
        assert below or beside, f"{named(path)} imports {name}, which is not below it"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_only_the_rooms_for_it_touch_the_world(path: Path) -> None:
    for name in imports_of(path):
        for library, rooms in WORLD.items():
            if name == library or name.startswith(f"{library}."):
                assert room_of(path) in rooms, f"{named(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_the_environment_enters_through_the_command_line(path: Path) -> None:
    if room_of(path) in ENVIRONMENT_ROOMS:
        return
    text = path.read_text()
    assert "os.environ" not in text, named(path)
    assert "getenv" not in text, named(path)
    assert not re.search(r"datetime\.now|date\.today|utcnow|time\.time\(", text), named(path)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_engines_are_made_where_a_database_is_opened(path: Path) -> None:
    if "create_engine" in path.read_text():
        reads = room_of(path) == "extract" and path.stem.startswith("database")
        assert room_of(path) == "load" or reads, named(path)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_are_small_and_named_for_what_they_know(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600, named(path)
    assert path.stem not in {"utils", "helpers", "common", "misc", "base"}, named(path)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_hides_in_the_code(path: Path) -> None:
    """No evaluated text, no disabled TLS, no base classes."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}, named(path)
        if isinstance(node, ast.keyword) and node.arg == "verify":
            assert not (isinstance(node.value, ast.Constant) and node.value.value is False)
        if isinstance(node, ast.ClassDef):
            assert not any(
                isinstance(base, ast.Name) and base.id in {"ABC"} for base in node.bases
            ), named(path)


ROOTS = {
    "Protocol",
    "Exception",
    "ValueError",
    "IntEnum",
    "StrEnum",
    "Enum",
    "NamedTuple",
    "TypedDict",
}
LIBRARY_ROOTS = {
    # Libraries that are extended by subclassing: requests and urllib3, PyYAML, jinja2, http.server.
    "Session", "HTTPAdapter", "HTTPConnection", "HTTPSConnection", "HTTPConnectionPool",
    "HTTPSConnectionPool", "SafeLoader", "ImmutableSandboxedEnvironment",
    "BaseHTTPRequestHandler", "HTTPServer", "ThreadingHTTPServer", "dict", "Group", "Command",
}  # fmt: skip


def test_no_inheritance_but_protocols_errors_enums_and_libraries() -> None:
    own: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                own[node.name] = [ast.unparse(base).split("[")[0] for base in node.bases]
    errors = {name for name, bases in own.items() if "Exception" in bases or "ValueError" in bases}
    while True:
        more = {name for name, bases in own.items() if errors & set(bases)} - errors
        if not more:
            break
        errors |= more
    for name, bases in own.items():
        for base in bases:
            allowed = ROOTS | LIBRARY_ROOTS | errors
            assert base.split(".")[-1] in allowed, f"{name} inherits from {base}"


def test_no_crm_is_named_in_the_engine() -> None:
    crms = re.compile(
        "hubspot|genius|marketsharp|activeprospect|leadconduit|salespro|arrivy", re.IGNORECASE
    )
    for path in ENGINE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert not crms.search(path.read_text()), path
            assert not crms.search(path.name), path
