"""A competition's data in the forms that papers start from: joined tables, pictures by grade, a YOLO data set."""
