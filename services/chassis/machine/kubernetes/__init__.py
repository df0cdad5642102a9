"""The cluster of a pod: its API, what its objects say, and how one follows them."""
