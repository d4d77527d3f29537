"""The lake: the bucket, its object keys, rows, staging, the media index and the log of image hashes."""
