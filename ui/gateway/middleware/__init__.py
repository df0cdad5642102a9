"""What happens to every HTTP request: size limit, security headers, telemetry."""
