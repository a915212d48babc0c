"""What ragkit takes in time and memory, and how well it finds; see benchmarks/README.md."""
