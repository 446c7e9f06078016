"""A competition's data in the forms that the published systems start from: joined tables, graded pictures, a YOLO set."""
