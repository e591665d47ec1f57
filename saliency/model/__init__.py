"""Models: protocols, array functions, the interpretation of outputs, several inputs."""
