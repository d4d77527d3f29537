"""The same stack on one machine: engine, packaging, progress and the demo."""
