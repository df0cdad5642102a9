"""What a process has to do with its machine: files that survive a crash, and the life of its parent."""
