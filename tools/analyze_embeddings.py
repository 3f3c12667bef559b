"""Draw what an embedding finds and how it spreads the classes."""

from kd_det.cli import main

if __name__ == '__main__':
    main('analyze-embeddings')
