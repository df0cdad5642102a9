"""What each architecture consists of, a module for those that share their layers."""
