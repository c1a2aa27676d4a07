"""The same pipeline without a viewer."""
