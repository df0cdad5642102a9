"""What both of Roo Code's protocols share: diffs, modes, checklists, ignore rules, repetition, the client's memory."""
