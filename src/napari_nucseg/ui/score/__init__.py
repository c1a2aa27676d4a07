"""The score panel: scores, the table of nuclei, overlays, plots, comparison, corrections."""
