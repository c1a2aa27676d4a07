"""Two label images in, scores out; of others' packages numpy and scipy alone."""
