"""What a torch module may be wrapped in, or have been turned into, and what it has lost by that."""

from __future__ import annotations

from torch import jit, nn

from saliency.adapters.answers import NO_ATTENTION, called_attention
from saliency.adapters.torch.rules import SCRIPTED, scripted
from saliency.model.protocols import Attentive, Differentiable, Inspectable, Rewirable

QUANTISED = "it is quantised, and its integers have no gradients: pass the model that was quantised"

WRAPPERS = ("module.", "_orig_mod.")
"""What ``DataParallel`` and ``torch.compile`` put before the names of a model's modules."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module itself under ``torch.compile`` and ``DataParallel``."""
    while True:
        wraps = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inside = module.module if wraps else getattr(module, "_orig_mod", None)
        if not isinstance(inside, nn.Module):
            return module
        module = inside


def lost(module: nn.Module) -> dict[type, str]:
    """The capabilities that a module lacks, each with the sentence why."""
    if any("quantized" in type(part).__module__.split(".") for part in module.modules()):
        return dict.fromkeys((Differentiable, Inspectable, Attentive, Rewirable), QUANTISED)
    lacks: dict[type, str] = {} if called_attention(module.named_modules()) else {Attentive: NO_ATTENTION}
    if scripted(module):
        lacks[Rewirable] = SCRIPTED
    if isinstance(module, jit.ScriptModule):
        lacks |= {Inspectable: SCRIPTED, Attentive: SCRIPTED}
    return lacks
