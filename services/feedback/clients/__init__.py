"""The services that this one calls; a file each."""
