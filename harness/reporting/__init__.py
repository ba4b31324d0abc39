"""Results to tables and leaderboards."""
