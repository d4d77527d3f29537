"""The guarded HTTP client: URLs, public addresses, connections, retries."""
