"""How fast the plugin is, beside its peers: ``make bench``, or ``python -m benchmarks``."""
