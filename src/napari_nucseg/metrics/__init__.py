"""Two label images in, scores out: numpy, scipy and scikit-image alone."""
