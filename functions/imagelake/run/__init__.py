"""Data that states and functions exchange, with the settings, logs, errors and AWS clients of every function."""
