"""`python -m lumbar.cli`, which the training kernel starts."""

from lumbar.cli import main

if __name__ == "__main__":
    main()
