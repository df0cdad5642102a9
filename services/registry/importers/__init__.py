"""Bring models from outside in; whatever parses foreign bytes runs in a limited process of its own."""
