"""The error that the command line shows as one sentence; the engine and the deployment have kinds of their own."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what the user asked; the message is one sentence."""
