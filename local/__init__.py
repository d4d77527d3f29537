"""Run the deployed stack on one machine: the engine, packaging, deployment, progress display and demo."""
