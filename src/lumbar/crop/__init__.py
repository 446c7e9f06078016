"""Stage 2: views in millimetres around the points, written once to memory-mapped arrays with an index table."""
