"""PAIR-code/saliency's own interface of its methods: `GetMask`, and the helpers that public code imports."""
