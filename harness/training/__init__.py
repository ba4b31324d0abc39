"""Training of the small embedder that the harness brings along, and of what it learns from."""
