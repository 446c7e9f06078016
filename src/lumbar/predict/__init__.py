"""Prediction of studies nobody has seen, one at a time: what the Kaggle kernel, `submission` and `replay` run."""
