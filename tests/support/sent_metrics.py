"""Metrics that a function prints for CloudWatch."""

from __future__ import annotations

import json

import pytest


def sent_metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Read the metrics that were printed since the last call, by name."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {
        metric["Name"]: line[metric["Name"]][0]
        for line in lines
        if "_aws" in line
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
