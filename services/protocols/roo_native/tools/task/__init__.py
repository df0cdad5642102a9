"""Tools that steer the task: questions, completion, modes, subtasks, the checklist, instructions."""
