"""What the panel says where a model does not seem to suit an image, and what to press then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from magicgui.widgets import Container, PushButton

from napari_nucseg.core.knobs import knobs
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Concern
from napari_nucseg.ui.form import text_line


class AdviceBox(Container[Any]):
    """A line that tells of a concern, and a button that follows its advice.

    Parameters
    ----------
    follow : callable
        Called with the parameters, by name, that another run shall have.
    """

    def __init__(self, follow: Callable[[Mapping[str, Any]], None]) -> None:
        self.text = text_line()
        self.button = PushButton(text="", tooltip="Segment again with this value.")
        super().__init__(widgets=[self.text, self.button], labels=False)
        self.margins = (0, 0, 0, 0)
        self._follow = follow
        self._change: Mapping[str, Any] = {}
        self._only: int | None = None
        self.button.changed.connect(self.press)
        self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self.tell({})

    def clear_elsewhere(self, plane: int) -> None:
        """Say nothing of a field that is not in sight; what is said of several stays."""
        if self._only not in (None, plane):
            self.clear()

    def tell(self, concerns: Mapping[int, Sequence[Concern]]) -> None:
        """Tell of the concerns about the fields that were segmented.

        Parameters
        ----------
        concerns : mapping
            Those of each field, by its number in the stack.
        """
        self._only = next(iter(concerns)) if len(concerns) == 1 else None
        told = [field[0] for field in concerns.values() if field]
        self.visible = bool(told)
        if not told:
            return
        first = told[0]
        where = f"{len(told)} of {len(concerns)} fields, the first: " if len(concerns) > 1 else ""
        self.text.value = f"Look again: {where}{first}"
        self._change = first.change
        # With several fields the good ones would be segmented anew, too
        self.button.visible = bool(first.change) and len(concerns) == 1
        self.button.text = describe_change(first.change)

    def press(self) -> None:
        """Follow the advice."""
        self._follow(self._change)


def describe_change(change: Mapping[str, Any]) -> str:
    """Say on a button what it sets.

    Examples
    --------
    >>> describe_change({"diameter": 112.0})
    'Use diameter 112 px'
    >>> describe_change({"invert": True}), describe_change({"invert": False})
    ('Use dark nuclei', 'Use dark nuclei off')
    """
    told = []
    for name, value in change.items():
        knob = knobs(SegmentParams)[name]
        label, unit = knob.label.lower(), f" {knob.unit}" if knob.unit else ""
        if isinstance(value, bool):
            told.append(label if value else f"{label} off")
        else:
            told.append(f"{label} {value:g}{unit}")
    return f"Use {' and '.join(told)}" if told else ""
