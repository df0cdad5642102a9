"""Judging: from what a model answered to verdicts, by the protocol's own rules and by a grader's opinion."""
