"""Authorized calls to a network: session, secrets, redaction."""
