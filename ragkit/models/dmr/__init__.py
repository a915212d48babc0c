"""Docker Model Runner: where it is, what it has, and its models made ready for work."""
