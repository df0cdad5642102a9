"""Webhooks: addresses of an operator that are told, signed, when a job ends or stands still, or a goal is missed."""
