"""What every judge is made of: faults, the table of layers, checks over calls, answers without a call."""
