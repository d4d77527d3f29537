"""Everything the functions share; docs/architecture.md names the packages and their layers."""

__version__ = "0.1.0"
