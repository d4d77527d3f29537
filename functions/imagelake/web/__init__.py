"""The guarded HTTP client: URLs, public IP addresses, connections, messages and errors."""
