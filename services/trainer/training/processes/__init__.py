"""Where a training process has its plans from, and the cluster that may do them."""
