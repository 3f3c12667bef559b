"""Draw retrieval results and a projection of an embedding."""

from kd_det.cli import main

if __name__ == '__main__':
    main('analyze-embeddings')
