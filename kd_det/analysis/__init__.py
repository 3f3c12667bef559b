"""Analysis after a run: features, embeddings, CKA, run comparison."""
