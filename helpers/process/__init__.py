"""What this process has and how it behaves: memory, cores, limits, how it ends, and how modules are loaded."""
