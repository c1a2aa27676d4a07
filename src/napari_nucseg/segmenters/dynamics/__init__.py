"""Labels from flows: points follow them to their objects' centres."""
