"""The rehearsal: the kernel run here as Kaggle would run it, and scored, which Kaggle never shows."""
