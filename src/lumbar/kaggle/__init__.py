"""What runs on Kaggle: finding the inputs, and the bundle of models and wheels that is uploaded as a dataset."""
