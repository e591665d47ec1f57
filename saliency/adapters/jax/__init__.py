"""JAX functions; models of Flax and Equinox."""
