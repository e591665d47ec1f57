"""PAIR-code/saliency's own face of its methods: `GetMask`, and the helpers that public code imports."""
