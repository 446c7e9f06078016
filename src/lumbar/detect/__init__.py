"""Stage 1: a YOLOv8 detector finds the canal, foramina and subarticular recesses of each level."""
