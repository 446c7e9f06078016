"""A run's folds trained beside each other, on one machine or on a cluster."""
