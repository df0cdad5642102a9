"""How models leave: as files, to other programs, and served."""
