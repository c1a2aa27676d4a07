"""Training networks: crops in, weights out."""
