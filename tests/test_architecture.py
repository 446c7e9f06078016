"""The house is as the architecture page draws it: every module in a room, every import downwards, no circle."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "lumbar"
PAGE = REPOSITORY / "docs" / "architecture.md"
FETCHING = ("pretrained=True", "attempt_download", "load_state_dict_from_url", "hf_hub", '"download"')
"""How this package, or a library for it, would fetch something."""
NETWORK = {"urllib", "http", "requests", "socket", "ftplib"}


def modules() -> dict[str, Path]:
    """Every module by its name inside the package, such as `detect.train`; a package goes by its folder's name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else ""] = path
    return found


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The package's modules that a file imports, wherever it does, but not those that only the type checker reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    inside = {name.removeprefix("lumbar").removeprefix(".") for name in names if name.split(".")[0] == "lumbar"}
    return {name for name in inside if name in known and name}


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top down, as the page's floor plan lists them."""
    plan = PAGE.read_text(encoding="utf-8").partition("<!-- floor plan -->")[2].partition("<!-- end -->")[0]
    rows = [line for line in plan.splitlines() if line.startswith("| ") and not line.startswith("| floor")]
    return [re.findall(r"`([a-z_]+)`", line.split("|")[2]) for line in rows if not line.startswith("|-")]


def room_of(module: str) -> str:
    return module.split(".")[0]


@pytest.fixture(scope="module")
def arrows() -> set[tuple[str, str]]:
    """Which module imports which."""
    known = modules()
    return {(name, other) for name, path in known.items() for other in imports_of(path, known) if name != other}


def test_every_room_stands_once_in_the_floor_plan_and_every_module_in_a_room():
    planned = [room for floor in floors() for room in floor]
    assert sorted(planned) == sorted({room_of(name) for name in modules() if name})


def test_no_arrow_points_upwards(arrows):
    height = {room: -number for number, floor in enumerate(floors()) for room in floor}
    upward = {f"{name} -> {other}" for name, other in arrows if name and height[room_of(name)] < height[room_of(other)]}
    assert upward == set()


def test_what_grades_a_study_needs_no_library_that_only_training_needs(arrows):
    needed, left, known = set(), {"submit.worker"}, modules()
    while left:
        needed |= left
        left = {other for name, other in arrows if name in left} - needed
    training = ("import pytorch_lightning", "from pytorch_lightning", "import sklearn", "from sklearn")
    lines = {name: known[name].read_text(encoding="utf-8").splitlines() for name in needed}
    assert [name for name, said in lines.items() if any(line.startswith(training) for line in said)] == []


def test_rooms_on_one_floor_do_not_know_each_other(arrows):
    height = {room: number for number, floor in enumerate(floors()) for room in floor}
    beside = {
        f"{name} -> {other}"
        for name, other in arrows
        if name and room_of(name) != room_of(other) and height[room_of(name)] == height[room_of(other)]
    }
    assert beside == set()


def test_no_modules_import_each_other_in_a_circle(arrows):
    left = {name: {other for one, other in arrows if one == name} for name in modules()}
    while ready := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ready:
            del left[name]
    assert left == {}


def test_only_what_is_typed_for_it_imports_what_speaks_to_a_network():
    speaking = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if imported and imported.split(".")[0] in NETWORK
    }
    assert speaking == {"offline"}, "which imports socket to keep others from using it"
    fetching = {
        name for name, path in modules().items() if any(word in path.read_text(encoding="utf-8") for word in FETCHING)
    }
    assert {name.split(".")[0] for name in fetching} <= {"fetch", "kaggle", "cli"}, "libraries fetch as well"


def test_every_package_and_module_says_what_it_is():
    silent = [name for name, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []
