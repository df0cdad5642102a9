"""What all nouns use: words, charts, templates, documents, events, forms."""
