"""What a process has to do with its machine: files that survive a crash, its parent, and what a child may inherit."""
