"""A run against a baseline: plain files of what was, and rules for what may change."""
