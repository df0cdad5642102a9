"""Where cases come from: words and wordings, scenarios drawn from them by a seed, and the rule that splits them."""
