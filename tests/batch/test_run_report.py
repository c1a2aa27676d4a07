"""The report: one page that says everything, and needs nothing else."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from napari_nucseg.batch.dataset_run import Execution, run_models
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from tests.oracle import oracle_setup

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.marked: dict[str, str] = {}
        self.pictures: dict[str, str] = {}
        self.words: list[str] = []
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attributes)
        self.marked |= {given["id"]: tag} if "id" in given else {}
        if tag == "img":
            self.pictures[given["src"]] = self.links[-1]
        self.links += [given[name] for name in ("src", "href", "xlink:href") if name in given]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


@pytest.fixture
def flawed(oracle_of, drawn_fields):
    """Misses a nucleus of the second field."""
    labels = [field.labels.copy() for field in drawn_fields]
    labels[1][labels[1] == 1] = 0
    return oracle_setup(oracle_of(drawn_fields, *labels))


@pytest.fixture
def page(drawn_dataset, tmp_path):
    """Run models, and open their report."""

    def make(*setups, **options):
        out = tmp_path / "out"
        command = ["napari-nucseg", "benchmark", "my data", "-o", "out"]
        dataset = open_dataset(drawn_dataset)
        run_models(dataset, setups, out, Execution(ignore, command=command), **options)
        text = (out / "report.html").read_text(encoding="utf-8")
        opened = Page(text)
        assert opened.open == []
        return opened

    return make


def test_nothing_is_fetched(page, flawed):
    opened = page(flawed)
    assert "script" not in opened.tags
    assert "link" not in opened.tags
    assert {link.split(":")[0][0] for link in opened.links} == {"#", "d"}
    assert opened.tags.count("svg") == 6  # three of scores, and three maps of the plate


def test_the_worst_field_is_pictured_with_its_verdicts(page, flawed, drawn_fields):
    opened = page(flawed, worst=1)
    pictures = list(opened.pictures)
    assert len(pictures) == 1
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert image.size == drawn_fields[1].image.shape[::-1]
    n = int(drawn_fields[1].labels.max())
    assert f"{n - 1} matched, 1 missed" in opened.text
    assert "A02_s1" in opened.text
    assert "The worst field, by mean AP" in opened.text


def test_a_picture_is_enlarged_within_the_page_and_is_there_once(page, flawed):
    opened = page(flawed)
    assert len(opened.pictures) == 2
    assert all(opened.links.count(picture) == 1 for picture in opened.pictures)
    assert {opened.marked[link.removeprefix("#")] for link in opened.pictures.values()} == {
        "figure"
    }
    assert len(set(opened.pictures.values())) == 2


def test_it_tells_only_the_values_that_the_model_uses(page):
    opened = page(set_up(catalogue.find("otsu"), "cpu", {}, DEFAULT_RULE))
    made = opened.text.split("otsu", 1)[1]
    assert "Minimum size 15 px" in made
    for absent in ("Flow threshold", "Cell probability", "flows", "network"):
        assert absent not in made, absent


def test_it_tells_scores_models_and_how_to_repeat_it(page, flawed, tmp_path):
    opened = page(flawed)
    for told in (
        "drawn",
        "Pooled",
        "Range",
        "napari-nucseg benchmark 'my data' -o out",
        f"The results went to {tmp_path / 'out'}",
        "Diameter 25 px",
        "oracle.pt: sha256 abab",
        "0.25 s a field for segmentation",
        "CPU, any",
        "without nuclei on either side: 1 (left out)",
    ):
        assert told in opened.text


def test_models_are_compared(page, flawed, oracle_of, drawn_fields):
    nothing = [np.zeros_like(field.labels) for field in drawn_fields]
    blind = replace(oracle_setup(oracle_of(drawn_fields, *nothing)), model="blind")
    opened = page(flawed, blind)
    assert opened.text.count("oracle, blind on drawn") == 2  # of the window, and above all
    assert "Models compared" in opened.text
    assert "0.000 (0.000-0.000)" in opened.text


def test_failed_fields_are_named_and_their_errors_are_text(page, flawed, oracle_of, drawn_fields):
    oracle = oracle_of(drawn_fields)

    def fail(image, params, report):
        if image.tobytes() == drawn_fields[0].image.tobytes():
            raise ValueError("<b>too bright</b> & blurred")
        return oracle(image, params, report)

    opened = page(oracle_setup(fail))
    assert "1 field failed and is in no score" in opened.text
    assert "Each model's figures are of the fields that it has done" in opened.text
    assert "<b>too bright</b> & blurred" in opened.text


def test_fields_that_the_model_does_not_suit_are_named_with_the_signs(
    page, oracle_of, drawn_fields
):
    oracle = oracle_of(drawn_fields)

    def doubt(image, params, report):
        is_first = image.tobytes() == drawn_fields[0].image.tobytes()
        oracle.suspect = ("38 bright objects, 1 nucleus", "dropped <5%") if is_first else ()
        return oracle(image, params, report)

    opened = page(oracle_setup(doubt))
    assert "1 field to check : there are signs that the model does not suit it." in opened.text
    assert "A01_s1: 38 bright objects, 1 nucleus; dropped <5%" in opened.text


def test_where_the_model_suits_all_fields_none_is_to_be_looked_at(page, flawed):
    assert "to look at" not in page(flawed).text


def test_a_published_model_carries_the_caveat_on_dsb2018(page, flawed):
    opened = page(replace(flawed, model="cpsam"))
    assert "cpsam: 43 of the 200 fields of BBBC039 are also in DSB2018" in opened.text


def test_a_caveat_names_the_models_that_it_is_about_and_comes_once(page, flawed):
    names = ("cpsam", "cpsam_v2", "fluo-nuclei", "oracle")
    opened = page(*(replace(flawed, model=name) for name in names))
    assert "cpsam, cpsam_v2: 43 of the 200 fields of BBBC039" in opened.text
    assert opened.text.count("DSB2018, which") == 1
    assert opened.text.count("fluo-nuclei was trained on the training split") == 1
    assert "fluo-nuclei: fluo-nuclei" not in opened.text


def test_run_json_tells_command_machine_and_checksums(page, flawed, tmp_path):
    page(flawed)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["sessions"][0]["command"][:2] == ["napari-nucseg", "benchmark"]
    assert run["sessions"][0]["machine"]["processor"]
    assert run["plan"]["versions"]["numpy"] == np.__version__
    assert [len(one["image"]) for one in run["checksums"].values()] == [64] * 3
