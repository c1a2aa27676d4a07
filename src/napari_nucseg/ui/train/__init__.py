"""The panel that teaches a model from labels."""
