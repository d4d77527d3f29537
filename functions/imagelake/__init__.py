"""Everything the functions share; docs/architecture.md names the packages and their layers."""
