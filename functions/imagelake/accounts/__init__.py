"""Authorized calls to a network: sessions, secrets, renewed tokens, redaction."""
