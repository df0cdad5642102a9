"""The XML protocol of Roo Code, client 3.36.16."""
