"""Where cases come from: words, wordings, skills."""
