"""Cline's XML tools (client 3.30.0) as a profile for Drillyard."""
