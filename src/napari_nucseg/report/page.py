"""A report as a page: one HTML file that needs no network, whatever was scored."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.io.writers import write_text
from napari_nucseg.metrics.score import Score, ScoreRule
from napari_nucseg.metrics.summary import Summary
from napari_nucseg.parameter_spec import describe_values
from napari_nucseg.report.page_plots import plot_errors, plot_fields, plot_thresholds
from napari_nucseg.report.plates import plot_plates
from napari_nucseg.report.published import Rows
from napari_nucseg.report.text import describe_verdicts, summary_cells
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import versions
from napari_nucseg.wording import counted, escaped, terms_of

Name = TypeVar("Name")

WORST = 6
"""Fields that are pictured, if not asked for others."""
_QUICK = 3
"""Level of zlib: a page is a fifth larger than at the highest, and ten times faster written."""


@dataclass(frozen=True)
class Pictured:
    """A field and its errors.

    Attributes
    ----------
    name : str
        Name of the field for the screen.
    score : Score
        Score of the field, whose counts stand below the picture.
    picture : str
        Address that holds the picture itself, as `as_link` gives it.
    """

    name: str
    score: Score
    picture: str = field(repr=False)

    @property
    def errors(self) -> dict[str, int]:
        """Number of nuclei by verdict, without those that match or do not occur."""
        counts = asdict(self.score.verdicts)
        words = [verdict.word for verdict in VERDICT_COLOURS if not verdict.is_match]
        return {word: counts[word] for word in words if counts[word]}


@dataclass(frozen=True)
class Section:
    """What is said of one model's labels.

    Attributes
    ----------
    name : str
        Name of the model for the screen.
    scores : mapping
        Name or number of a field to its score.
    summary : Summary
        Pooled scores and spread over these fields.
    rule : ScoreRule
        IoU threshold and preset that fields were scored by.
    worst : sequence of Pictured
        Fields that are pictured, the worst first.
    made, details : sequence of str
        Sentences on how the labels were made: paragraphs, and smaller lines.
    failed : mapping
        Name of a field to its error.
    suspect : mapping
        Name of a field to the signs that the model does not suit it.
    published : sequence of Rows
        Tables of these scores beside published ones.
    caveat : str, optional
        Reason why the scores look better than they are; empty if there is none.
    names : mapping
        The keys of the scores to names of fields for the screen, where these are others.
    wells : sequence of mapping
        The table of wells, where these are known; see `plate_maps`.
    """

    name: str
    scores: Mapping[Any, Score] = field(repr=False)
    summary: Summary = field(repr=False)
    rule: ScoreRule
    worst: Sequence[Pictured]
    made: Sequence[str]
    details: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    suspect: Mapping[str, Sequence[str]] = field(default_factory=dict)
    published: Sequence[Rows] = ()
    caveat: str | None = None
    names: Mapping[Any, str] = field(default_factory=dict)
    wells: Sequence[Mapping[str, Any]] = ()

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Table of the scores, the header first."""
        return summary_cells(self.summary)

    @property
    def verdicts(self) -> str:
        """Verdicts of all fields in a sentence."""
        return describe_verdicts(self.summary.pooled)


@dataclass(frozen=True)
class Page:
    """A report on scored models, as its template takes it.

    Attributes
    ----------
    title : str
        Heading of the report: which model, and what it was scored on.
    fields : int
        Number of fields of the dataset.
    sections : sequence of Section
        Results of each model.
    absent : int
        Fields of the split that are not there.
    comparison : sequence of tuple of str
        Table of the models, the header first; empty for one model.
    command : str
        Command line that repeats it; empty if there is none.
    results : str
        Folder that its results went to; empty if there is none.
    """

    title: str
    fields: int
    sections: Sequence[Section]
    absent: int = 0
    comparison: Sequence[tuple[str, ...]] = ()
    command: str = ""
    results: str = ""

    @property
    def notes(self) -> list[str]:
        """Caveats, each once, with the models that it is about."""
        models: dict[str, list[str]] = {}
        for section in self.sections:
            if section.caveat:
                models.setdefault(section.caveat, []).append(section.name)
        return [
            caveat if names[0] in caveat else f"{', '.join(names)}: {caveat}"
            for caveat, names in models.items()
        ]


def write_page(path: Path, page: Page) -> None:
    """Write a report of scores."""
    render(
        path,
        "report.html.jinja",
        page=page,
        plots=[plot(page.sections) for plot in (plot_fields, plot_thresholds, plot_errors)],
        maps=[plot for one in page.sections for plot in plot_plates(one.name, one.wells)],
        legend={verdict.word: colour for verdict, colour in VERDICT_COLOURS.items()},
    )


def render(path: Path, template: str, **values: Any) -> None:
    """Write a page made of a template of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: escaped(value) if type(value) is str else value,
    )
    environment.filters["counted"] = counted
    text = environment.get_template(template).render(**values, versions=versions())
    write_text(path, text)


def worst_fields(scores: Mapping[Name, Score], count: int) -> list[Name]:
    """Name the fields of the lowest mean AP, the worst first; those without one are left out."""
    defined = [name for name, score in scores.items() if not math.isnan(score.mean_ap)]
    return sorted(defined, key=lambda name: scores[name].mean_ap)[:count]


def as_link(picture: NDArray[np.uint8]) -> str:
    """Put a picture, an RGB array of shape (height, width, 3), into an address of itself."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=_QUICK)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def name_made(made: Mapping[str, Any]) -> str:
    """Name the model and the values that labels were made by; empty where that is not known."""
    if "model" not in made:
        return ""
    from napari_nucseg.segmenters.catalogue import ignored_by  # too slow as a panel opens

    ignored = ignored_by(str(made["model"]))
    values = describe_values(SegmentParams, made.get("parameters") or {}, ignored)
    return "; ".join([str(made["model"]), *values])


def describe_made(made: Mapping[str, Any]) -> Iterator[str]:
    """Say in sentences how labels were made, as far as it is known."""
    named = name_made(made)
    yield f"Model: {named}." if named else "How these labels were made is not known."
    if made.get("weights_sha256"):
        yield f"Weights {made.get('weights', '')}: sha256 {made['weights_sha256']}"
    terms = terms_of(str(made.get("licence", "")), str(made.get("trained_on", "")))
    if terms:
        yield f"Licence of the model: {terms}."
