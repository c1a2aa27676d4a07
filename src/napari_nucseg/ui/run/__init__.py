"""The panel that runs models over a dataset."""
