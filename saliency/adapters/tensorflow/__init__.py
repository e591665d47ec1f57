"""TensorFlow functions, ``tf.Module`` objects and SavedModels."""
