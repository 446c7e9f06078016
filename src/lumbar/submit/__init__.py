"""Stage 5: predictions of studies nobody has seen, one at a time; what the Kaggle kernel and `replay` run, too."""
