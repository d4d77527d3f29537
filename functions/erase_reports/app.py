"""Erase Reports: remove what is on the suppression list from the report of one run."""
