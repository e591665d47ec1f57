"""Birds of exchangeable parts, in the way of FunnyBirds (arXiv:2308.06248), drawn here with NumPy alone."""
