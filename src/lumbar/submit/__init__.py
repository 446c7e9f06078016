"""The last stage: predictions of studies nobody has seen, one at a time; what the Kaggle kernel and `replay` run, too."""
