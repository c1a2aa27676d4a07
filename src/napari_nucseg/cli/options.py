"""What the commands have in common: options made from parameters, their help, and the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

import typer

from napari_nucseg.batch.run_setup import Setup
from napari_nucseg.cli.console import console, follow_with, transferring
from napari_nucseg.io.lists import SPLITS
from napari_nucseg.io.plates import PlateOptions
from napari_nucseg.metrics.matching import PRESETS, STARDIST, find_preset
from napari_nucseg.metrics.score import DEFAULT_RULE, ScoreRule
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.model import Model


def path_argument(told: str, metavar: str | None = None) -> Any:
    """Declare an argument that is a path; typer itself would refuse some in a box of its own."""
    return typer.Argument(help=told, metavar=metavar, readable=False)


def path_option(told: str, *names: str, **options: Any) -> Any:
    """Declare an option that is a path, as `path_argument` does."""
    return typer.Option(*names, help=told, readable=False, **options)


EXIT_CODES = (
    "[b]Exit codes[/b]\n\n"
    "0: all is done.\n\n"
    "1: something failed, as an image or a field, and is named; the rest is done.\n\n"
    "2: the command, or all of its input, cannot be used; one line on standard error says why.\n\n"
    "130: stopped by Ctrl-C; the same command goes on."
)
"""Told at the end of the help of the program."""
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
]
DeviceName = Annotated[
    Literal["auto", "cuda", "mps", "cpu"], typer.Option(help="Where the network runs.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler to run on, such as tcp://host:8786. This computer if not "
        "given."
    ),
]
ACQUISITION = "Acquisition of a plate of OME-Zarr, by name or number, where it has several."
"""Help of the option of this name."""
Components = Annotated[
    bool,
    typer.Option(
        "--components", help="Take each piece of a binary mask for a nucleus, not all for one."
    ),
]


@dataclass(frozen=True)
class WellOptions:
    """What is taken of a plate, or how files name their wells."""

    channel: Annotated[
        str, typer.Option(help="Channel of the nuclei in a plate, by name or number.")
    ] = ""
    truth_labels: Annotated[
        str, typer.Option(help="Labels in a plate of OME-Zarr that are the ground truth, by name.")
    ] = ""
    pattern: Annotated[
        str,
        typer.Option(
            help="How files name their well: a regular expression with groups (?P<well>...), or "
            "row and column, and site and channel if names have them."
        ),
    ] = ""

    acquisition: Annotated[str, typer.Option(help=ACQUISITION)] = ""

    @property
    def plate(self) -> PlateOptions:
        """The same as a dataset is opened with."""
        return PlateOptions(**vars(self))


Command = Callable[..., None]


@dataclass(frozen=True)
class ModelOptions:
    """The models to run, and where."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Name of a model, see [b]models[/b], or its file. [b]benchmark[/b] takes it "
            f"several times, to compare models. [dim]\\[default: {catalogue.BUNDLED}][/dim]",
            show_default=False,
            autocompletion=complete_models,
        ),
    ] = None
    device: DeviceName = "auto"
    scheduler: Scheduler = None

    @property
    def names(self) -> list[str]:
        """Names or files of the models, in the order that they were given."""
        return self.model or [catalogue.BUNDLED]

    @property
    def only(self) -> str:
        """The model, where there can be but one."""
        first, *others = self.names
        if others:
            raise ValueError(f"--model {others[0]}: give one model; run it again for another")
        return first


@dataclass(frozen=True)
class RuleOptions:
    """How labels are scored."""

    iou: Annotated[float, typer.Option("--iou", help="Least IoU of a match.")] = 0.5
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help=f"Rule of comparison: {', '.join(PRESETS)}.",
            autocompletion=complete_presets,
        ),
    ] = STARDIST.name
    empty_as_one: Annotated[
        bool, typer.Option(help="Count fields without nuclei on either side as 1 in means.")
    ] = False
    ignore_border: Annotated[
        bool,
        typer.Option(
            "--ignore-border",
            help="Leave nuclei that touch the border out of scores, on both sides.",
        ),
    ] = False

    @property
    def rule(self) -> ScoreRule:
        """The rule that they ask for."""
        preset = find_preset(self.preset)
        return ScoreRule(self.iou, preset, self.empty_as_one, self.ignore_border)


def grouped(command: Command) -> Command:
    """Give a command an option for each field of its arguments that are dataclasses."""
    for argument in inspect.signature(command, eval_str=True).parameters.values():
        group = argument.annotation
        if isinstance(group, type) and is_dataclass(group):
            kinds = get_type_hints(group, include_extras=True)
            options = [_option(one.name, kinds[one.name], one.default) for one in fields(group)]
            command = _spread(command, argument.name, options, partial(_made, group))
    return command


def takes(
    params: type, panel: str, default: str | None = None, name: str = "chosen"
) -> Callable[[Command], Command]:
    """Give a command one option for each parameter of a dataclass.

    Parameters
    ----------
    params : type
        Dataclass whose fields carry a `Spec`. The command receives the options that were given
        as a dict.
    panel : str
        Heading of the options in the help.
    default : str, optional
        What an option that is not given stands for, if not the dataclass's default.
    name : str
        Name of the dict among the command's arguments.
    """
    kinds, options = get_type_hints(params), []
    for field in fields(params):
        spec = specs_of(params)[field.name]
        low, high = as_bound(spec.low), as_bound(spec.high)
        bounds = "" if kinds[field.name] is bool else f"{low} to {high}; "
        option = typer.Option(
            f"--{field.name.replace('_', '-')}",
            help=f"{spec.help} [dim]\\[{bounds}default {default or field.default}][/dim]",
            rich_help_panel=panel,
            show_default=False,
        )
        options.append(_option(field.name, Annotated[kinds[field.name] | None, option], None))
    return lambda command: _spread(command, name, options, _given)


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is MISSING else default
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _made(group: Callable[..., Any], values: dict[str, Any]) -> Any:
    return group(**values)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _spread(
    command: Command,
    name: str,
    options: Sequence[inspect.Parameter],
    make: Callable[[dict[str, Any]], Any],
) -> Command:
    """Put options in the place of an argument that is made of their values."""

    def wrapped(**values: Any) -> None:
        own = {option.name: values.pop(option.name) for option in options}
        command(**values, **{name: make(own)})

    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(command, eval_str=True).parameters.values():
        only = one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += options if one.name == name else [only]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped


def prepare(
    name: str, device: str, chosen: dict[str, Any] | None, rule: ScoreRule = DEFAULT_RULE
) -> Setup:
    """Set up a model, fetching it if need be, and complete the chosen parameters by its own."""
    from napari_nucseg.batch.run_setup import set_up

    model = catalogue.find(name)
    fetch_weights(model, device)
    return set_up(model, device, chosen or {}, rule)


def fetch_weights(model: Model, device: str) -> None:
    """Download the weights of a model, unless they are here or the device is not."""
    if model.is_ready:
        return
    choose(device)
    assert model.remote is not None
    console.print(
        f"Downloading {model.name}: {model.megabytes} MB from {model.remote.url} to {model.path}"
    )
    with transferring() as bar:
        catalogue.download(model, follow_with(bar, "Download"))


def examples(*pairs: tuple[str, str]) -> str:
    """Return the end of a command's help: what each example does, and its line.

    Examples
    --------
    >>> print(examples(("Score two files", "score a.tif b.tif")))
    [b]Example[/b]
    <BLANKLINE>
    Score two files: [b]napari-nucseg score a.tif b.tif[/b]
    """
    title = "[b]Example[/b]" if len(pairs) == 1 else "[b]Examples[/b]"
    return "\n\n".join([title, *(f"{what}: [b]napari-nucseg {line}[/b]" for what, line in pairs)])


def as_bound(value: float) -> str:
    """Write a bound of a parameter as one reads it.

    Examples
    --------
    >>> as_bound(2.0**31 - 1), as_bound(0.4), as_bound(1.0), as_bound(10000)
    ('2,147,483,647', '0.4', '1', '10,000')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def complete_models(incomplete: str) -> Iterable[str]:
    """Offer the names of models that begin so, for completion in a shell."""
    return [one.name for one in catalogue.models() if one.name.startswith(incomplete)]


def complete_splits(incomplete: str) -> Iterable[str]:
    """Offer the usual names of splits that begin so."""
    return [split for split in SPLITS if split.startswith(incomplete)]


def complete_presets(incomplete: str) -> Iterable[str]:
    """Offer the names of rules of comparison that begin so."""
    return [name for name in PRESETS if name.startswith(incomplete)]
