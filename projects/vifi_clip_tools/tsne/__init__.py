"""``vifi-clip tsne``: pictures of embeddings and scores of their clusters."""
