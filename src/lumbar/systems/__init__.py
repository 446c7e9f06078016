"""The published systems by name: listed, shown as their papers have them, and run one at a time."""
