"""What code computes, as a hash: its syntax without comments and docstrings, and that of all it imports from here."""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
NOT_COMPUTING = ("config", "errors", "offline", "records", "report", "run")
"""Rooms and modules that no result depends on. Configs count by their values; drawing and reporting change nothing."""


def hash_code(*modules: str) -> str:
    """A short hash of modules such as `detect.train`, and of every module of the package that they need.

    Comments, docstrings and layout do not count, and of what is `NOT_COMPUTING` only the modules named.
    """
    found: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        if name not in found and (name in modules or name.split(".")[0] not in NOT_COMPUTING):
            found.add(name)
            left += imported_by(_path_of(name))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}:{_meaning_of(_path_of(name))}\0".encode())
    return digest.hexdigest()[:16]


@cache
def imported_by(path: Path) -> tuple[str, ...]:
    """The package's own modules that a file imports, anywhere in it, by names such as `detect.train`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    own = {name.partition(".")[2] for name in names if name.startswith(f"{PACKAGE.name}.")}
    return tuple(sorted(name for name in own if _path_of(name).is_file()))


def _path_of(module: str) -> Path:
    """The file of a module, or of a package's own code."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _meaning_of(path: Path) -> str:
    return repr(_plain(ast.parse(path.read_text(encoding="utf-8"))))


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, without what is empty (Python's versions differ in that) and without text that
    stands by itself: docstrings."""
    if isinstance(node, list):
        return tuple(_plain(each) for each in node if not _is_text(each))
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
    return (type(node).__name__, *((name, value) for name, value in fields if value not in ((), None)))


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
