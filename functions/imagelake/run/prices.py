"""Prices in US dollars: list prices of us-east-1 in 2026, without any free tier."""

from __future__ import annotations

S3_PUT = 0.005 / 1e3
S3_GET = 0.0004 / 1e3
DYNAMO_WRITE = 0.625 / 1e6
DYNAMO_READ = 0.125 / 1e6
