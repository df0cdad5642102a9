"""What runs in training processes: torch and Ray live here alone."""
