"""Databases of these tests end with each of them."""

from tests.fakes.databases import databases_end

__all__ = ["databases_end"]
