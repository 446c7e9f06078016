"""What runs on Kaggle: finding the inputs, and the bundle of models and wheels that is uploaded as a dataset."""

COMPETITION = "rsna-2024-lumbar-spine-degenerative-classification"
"""The competition's name on Kaggle."""
PLACEHOLDER = "OWNER"
"""Stands in the kernels' templates for the Kaggle user's name."""
