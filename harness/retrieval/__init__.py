"""Vectors or tokens to rankings: dense, aligned sparse, hybrid, BM25."""
