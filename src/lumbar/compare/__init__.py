"""The published systems beside the main pipeline: one phantom, one set of folds, one detector, one metric."""
