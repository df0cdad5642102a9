"""Which step comes next, by rules that say why: pure functions of what a loop has measured."""
