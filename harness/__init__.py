"""Benchmark harness for text embeddings from large language models.

Encode once, score every retrieval mode, pay for each in the same table.
"""

__version__ = "0.1.0"
