"""Vector to tokens: heads and aligned tokens."""
