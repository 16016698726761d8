"""``vifi-clip embed`` and ``cache-frames``: embeddings on disk."""
