"""What can be called, and with what: protocols of models, array functions, what outputs mean, several inputs."""
