"""How large the house is, and what each floor of it needs; `make house` prints the figures.

The figures below only go down. Who makes one smaller writes the new one here; who cannot help to
make one larger says why in the commit. The ways through the house are counted in
`tests.ui.test_ways`.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_nucseg

PACKAGE = Path(napari_nucseg.__file__).parent
ROOT = Path(__file__).parents[1]

MODULES = 225
"""Python files of the package; the goal is 130."""
LARGE_MODULES = 0
"""Modules of more than 300 lines; the goal is none."""
LONG_FUNCTIONS = 0
"""Functions of more than 40 lines without their docstring; the goal is none."""
WIDE_FUNCTIONS = 0
"""Functions of more than 6 arguments beside self; the goal is none."""

THIRD_PARTY = {
    "metrics": "numpy scipy",
    "io": "PIL filelock imagecodecs networkx numpy pyarrow pydantic requests roifile scipy "
    "skimage tifffile urllib3 zarr",
    "segmenters": "cellpose cv2 numba numpy onnxruntime safetensors scipy skimage torch",
    "analysis": "PIL numpy pydantic scipy skimage",
    "report": "PIL jinja2 matplotlib numpy rich",
    "batch": "distributed filelock matplotlib numpy pydantic",
    "ui": "dask magicgui matplotlib napari numpy pint psygnal qtpy superqt",
    "cli": "napari rich typer",
    "__init__": "lazy_loader",
    "public": "numpy",
    "array_types": "numpy",
    "parameter_spec": "numpy",
    "system_info": "platformdirs psutil",
}
"""The packages of others that each floor, or module beside the floors, imports itself."""
DISTRIBUTIONS = {"PIL": "Pillow", "skimage": "scikit-image"}
"""What a package is called where it is not by the name that is imported."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """Every module of the package: its path within the package, and its text."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in paths}


def test_there_are_no_more_modules_than_before(modules):
    _say(f"{len(modules)} modules, at most {MODULES}; the goal is 130")
    _say(f"{sum(map(_lines, modules.values()))} lines")

    assert len(modules) <= MODULES


def test_no_more_modules_are_large_than_before(modules):
    large = [
        f"{path}: {_lines(text)} lines" for path, text in modules.items() if _lines(text) > 300
    ]
    _say(f"{len(large)} modules of more than 300 lines, at most {LARGE_MODULES}", *large)

    assert len(large) <= LARGE_MODULES, large


def test_no_more_functions_are_long_than_before(modules):
    long = [where for where, one in _functions(modules) if _length(one) > 40]
    _say(f"{len(long)} functions of more than 40 lines, at most {LONG_FUNCTIONS}", *long)

    assert len(long) <= LONG_FUNCTIONS, long


def test_no_more_functions_have_many_arguments_than_before(modules):
    wide = [where for where, one in _functions(modules) if _arguments(one) > 6]
    _say(f"{len(wide)} functions of more than 6 arguments, at most {WIDE_FUNCTIONS}", *wide)

    assert len(wide) <= WIDE_FUNCTIONS, wide


def test_each_floor_imports_the_packages_that_it_is_said_to(modules):
    imported: dict[str, set[str]] = {}
    for path, text in modules.items():
        floor = path.partition("/")[0].removesuffix(".py")
        imported.setdefault(floor, set()).update(_third_party(text))
    found = {floor: " ".join(sorted(names)) for floor, names in imported.items() if names}
    for floor in THIRD_PARTY:
        _say(f"{floor}: {found.get(floor)}")

    assert found == THIRD_PARTY


@pytest.mark.parametrize("floor", ["metrics", "io"])
def test_the_lowest_floors_say_which_packages_they_need(floor):
    said = importlib.import_module(f"napari_nucseg.{floor}").__doc__

    for package in THIRD_PARTY[floor].split():
        assert DISTRIBUTIONS.get(package, package) in said


def test_the_readme_is_short():
    words = len((ROOT / "README.md").read_text("utf-8").split())
    _say(f"{words} words in the README, at most 500")

    assert words <= 500


def test_the_files_that_the_documents_name_are_there():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *PACKAGE.rglob("*.md")]
    named = [
        (document.name, path)
        for document in documents
        for path in re.findall(r"`([\w./]+/[\w.]+\.py)`", document.read_text("utf-8"))
    ]

    assert named
    missing = [one for one in named if not any((up / one[1]).is_file() for up in (ROOT, PACKAGE))]
    assert not missing


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"])
def test_the_links_of_the_documents_lead_somewhere(page):
    for document in (ROOT / page).glob("*.md") if page == "docs" else [ROOT / page]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
            found = "://" in target or (document.parent / target).exists()
            assert found, f"{document.name}: {target}"


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _lines(text: str) -> int:
    return len(text.splitlines())


def _functions(modules: dict[str, str]) -> Iterator[tuple[str, Function]]:
    """Yield every function of the package with where it is."""
    for path, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", node


def _length(function: Function) -> int:
    """Count a function's lines without those of its docstring and its decorators."""
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return whole
    return whole - (first.end_lineno - first.lineno + 1)


def _arguments(function: Function) -> int:
    """Count a function's arguments without the object or class that it belongs to."""
    of = function.args
    names = [one.arg for one in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def _third_party(text: str) -> Iterator[str]:
    """Yield the packages of others that a module imports, wherever in it that stands."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package != "napari_nucseg":
                yield package
