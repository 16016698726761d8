"""Re-encode videos for sparse reading."""
