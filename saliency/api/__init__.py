"""The calls of the public face: `explain`, `predict`, `what_if`, `perturbation_curves`, `layers`, `methods`."""
