"""Reading, matching and scoring: numpy, scipy, scikit-image and tifffile alone."""
