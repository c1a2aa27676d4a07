"""The segment panel: models, parameters, live thresholds, and what a result tells."""
