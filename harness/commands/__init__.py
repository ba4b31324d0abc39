"""The commands: each takes a composed configuration and returns an exit status."""
