"""What runs in the kernel for a widget: threads, explanations and what they found."""
