"""``vifi-clip index`` and ``search``: find videos by their embeddings."""
