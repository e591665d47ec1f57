"""The only code that batches: samples, batch sizes, progress, cancellation."""
