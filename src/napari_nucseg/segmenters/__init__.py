"""The networks: the only home of torch and cellpose."""
