"""Exports of an evaluation, one form a file; each is written in pieces, so that a long one needs little memory."""
