"""Roo Code's function-calling protocol, as its last client holds it."""
