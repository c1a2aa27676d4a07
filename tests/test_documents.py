"""What the world outside meets first: the README on the package index, citations, notebooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from napari_nucseg import __version__
from scripts.model_table import DOCUMENT, with_table

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HOME = PROJECT["project"]["urls"]["Homepage"]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture
def shown() -> str:
    """The README as the package index gets it."""
    text = (ROOT / "README.md").read_text("utf-8")
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert [one["path"] for one in hook["fragments"]] == ["README.md"]
    for one in hook["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    return text


def test_the_package_index_gets_no_relative_link_and_all_lead_to_files(shown):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", shown)
    raw = HOME.replace("https://github.com", "https://raw.githubusercontent.com")
    ours = [link for link in links if link.startswith((f"{HOME}/blob/main/", f"{raw}/main/"))]

    assert all(link.startswith("https://") for link in links), links
    assert len(ours) > 10
    for link in ours:
        assert (ROOT / re.split("/main/", link, maxsplit=1)[1]).is_file(), link


def test_pictures_are_taken_from_where_they_are_no_pages(shown):
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", shown)

    assert pictures
    assert all("raw.githubusercontent.com" in one for one in pictures)


def test_the_repository_is_the_same_wherever_it_is_named():
    for name in ("pyproject.toml", "mkdocs.yml", "CITATION.cff"):
        text = (ROOT / name).read_text("utf-8")
        assert HOME in text, name
        found = re.findall(
            r"https://(?:github\.com|raw\.githubusercontent\.com)/[\w-]+/[\w-]+", text
        )
        assert {url.partition(".com")[2] for url in found} == {HOME.partition(".com")[2]}, name


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_list_of_models_is_that_of_the_catalogue():
    text = DOCUMENT.read_text("utf-8")

    assert with_table(text) == text
    assert "`fluo-nuclei` |" in text


def test_every_page_of_the_documents_has_a_place_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = [*(ROOT / "docs").glob("*.md"), *NOTEBOOKS]

    for page in pages:
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in menu, page.name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebooks_run_and_print_what_they_show(path):
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MPLBACKEND": "agg"},
    )

    assert done.returncode == 0, done.stderr
    kept = [out for cell in cells for out in cell["outputs"]]
    told = "".join("".join(out["text"]) for out in kept if out.get("name") == "stdout")
    assert _without_numbers(told) == _without_numbers(done.stdout)
    assert any("image/png" in out.get("data", {}) for out in kept)


def _without_numbers(text: str) -> list[str]:
    """Lines of a text; the last decimals differ from processor to processor."""
    return re.sub(r"[\d.]+", "#", text).splitlines()
