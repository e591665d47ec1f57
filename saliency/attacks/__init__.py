"""Small changes of all pixels that change the model's answer: adversarial attacks, and corruptions by their strength.

Strengths are in the picture's own units, 0–1 from black to white, whatever the preprocessing.
"""

from saliency.attacks.corruptions import CORRUPTIONS
from saliency.attacks.gradient import fgsm, pgd
from saliency.attacks.results import Adversarial, StrengthCurve
from saliency.attacks.strength import minimal_strength

__all__ = ["CORRUPTIONS", "Adversarial", "StrengthCurve", "fgsm", "minimal_strength", "pgd"]
