"""Colours that colour-blind readers can tell apart (Okabe and Ito, 2008)."""

from __future__ import annotations

from napari_nucseg.core.verdicts import Agreement, Verdict

VERDICT_COLOURS = {
    Verdict.MATCHED: "#009E73",
    Verdict.LOOSE: "#F0E442",
    Verdict.MISSED: "#D55E00",
    Verdict.MERGED: "#CC79A7",
    Verdict.SPLIT: "#56B4E9",
    Verdict.OFF: "#E69F00",
    Verdict.TANGLED: "#FFFFFF",
    Verdict.SPURIOUS: "#0072B2",
}
AGREEMENT_COLOURS = {
    Agreement.TRUE_POSITIVE: "#009E73",
    Agreement.FALSE_NEGATIVE: "#D55E00",
    Agreement.FALSE_POSITIVE: "#0072B2",
}
