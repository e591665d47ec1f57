"""The smallest change of a picture's segments that changes the model's answer, or that keeps it."""
