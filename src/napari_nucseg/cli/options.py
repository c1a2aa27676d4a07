"""What the commands have in common: options made from parameters, progress bars, and the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from napari_nucseg.batch.plan import Setup
from napari_nucseg.cli.help_texts import as_bound, complete_models, complete_presets
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.metrics.presets import DEFAULT_RULE, PRESETS, STARDIST, ScoreRule, find_preset
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.model import Model
from napari_nucseg.wording import escaped


def path_argument(told: str, metavar: str | None = None) -> Any:
    """Declare an argument that is a path; typer itself would refuse some in a box of its own."""
    return typer.Argument(help=told, metavar=metavar, readable=False)


def path_option(told: str, *names: str, **options: Any) -> Any:
    """Declare an option that is a path, as `path_argument` does."""
    return typer.Option(*names, help=told, readable=False, **options)


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
Components = Annotated[
    bool,
    typer.Option(
        "--components", help="Take each piece of a binary mask for a nucleus, not all for one."
    ),
]


class _SafeConsole(Console):
    """Shows names as they are, whatever they hold: nothing in a text commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a text into what is printed."""
        return super().render_str(escaped(text), **options)


errors = _SafeConsole(stderr=True)
console = _SafeConsole(markup=False, highlight=False, soft_wrap=True)

Command = Callable[..., None]


@contextmanager
def told_beside(as_json: bool) -> Iterator[None]:
    """Keep standard output for JSON where it is wanted: what else is told goes to the errors."""
    console.stderr = as_json
    try:
        yield
    finally:
        console.stderr = False


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


def counting() -> Bar:
    """Return a bar that counts things, and names the one at work where there is room."""
    name = Column(ratio=2, no_wrap=True, overflow="ellipsis")
    return _bar(
        MofNCompleteColumn(separator=" of "),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False, table_column=name),
    )


def transferring() -> Bar:
    """Return a bar that counts bytes."""
    return _bar(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def follow_with(bar: Bar, what: str) -> Progress:
    """Add a task of a title to a bar that is shown, and return what moves it."""
    task = bar.add_task(what, total=None, name="")

    def follow(done: int, total: int, name: str = "", /) -> None:
        bar.update(task, completed=done, total=total or None, name=escaped(name))

    return follow


def follow_parts_with(bar: Bar, what: str) -> Progress:
    """Do as `follow_with` for the parts of one thing, in a line that is there if it has several."""
    task = bar.add_task(what, total=1, name="", visible=False)

    def follow(done: int, total: int, name: str = "", /) -> None:
        bar.update(task, completed=done, total=total, visible=total > 1)

    return follow


def _bar(*columns: ProgressColumn) -> Bar:
    """Return a bar that takes what its columns leave of the terminal's width, on one line."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
        *columns,
        console=errors,
        expand=True,
        transient=True,
        disable=not errors.is_terminal,
    )


def warn(line: str) -> None:
    """Print a warning on standard error."""
    errors.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def warn_of_reading(components: bool, *notes: str) -> None:
    """Tell how files were read, and by which option labels are read otherwise."""
    from napari_nucseg.io.label_rules import BINARY

    for note in notes:
        is_one = BINARY in note and not components
        warn(f"{note}; --components takes each piece for a nucleus" if is_one else note)


def prepare(
    name: str, device: str, chosen: dict[str, Any] | None, rule: ScoreRule = DEFAULT_RULE
) -> Setup:
    """Set up a model, fetching it if need be, and complete the chosen parameters by its own."""
    from napari_nucseg.batch.run_setup import set_up

    model = catalogue.find(name)
    fetch_weights(model, device)
    return set_up(model, device, chosen or {}, rule)


def refuse_failures(
    failed: Sequence[Exception], count: int, what: str, to: Console = console
) -> None:
    """Tell which of several failed, with exit code 1; if all did, raise the first error.

    Parameters
    ----------
    failed : sequence of Exception
        What was wrong with each.
    count : int
        How many there were in all.
    what : str
        What they are, in the plural.
    to : Console
        Where it is told: standard error, where standard output is for a program.
    """
    if len(failed) == count:
        raise failed[0]
    told = [describe_error(error) for error in failed]
    for line in [*told, f"{len(failed)} of {count} {what} failed, the others are done"]:
        if failed:
            to.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def fetch_weights(model: Model, device: str) -> None:
    """Download the weights of a model, unless they are here or the device is not."""
    if model.is_ready:
        return
    choose(device)
    assert model.remote is not None
    console.print(
        f"Downloading {model.name}: {model.megabytes} MB from {model.remote.url} to {model.path}",
    )
    with transferring() as bar:
        catalogue.download(model, follow_with(bar, "Download"))
