"""What is looked at after a run: features, embeddings, CKA, comparisons."""
