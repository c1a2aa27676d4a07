"""Many fields at once, without a viewer."""
