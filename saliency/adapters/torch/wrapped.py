"""Wrappers around a torch module, and the capabilities that quantised and scripted modules do not support."""

from __future__ import annotations

from torch import jit, nn

from saliency.adapters.answers import called_attention, name_of, no_attention
from saliency.adapters.torch.rules import SCRIPTED, scripted
from saliency.model.protocols import Attentive, Differentiable, Inspectable, Rewirable

QUANTISED = "is quantised, and its integers have no gradients: pass the model before quantisation"

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that ``DataParallel`` and ``torch.compile`` add to the names of a model's modules."""


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile`` and ``DataParallel``."""
    while True:
        wraps = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inside = module.module if wraps else getattr(module, "_orig_mod", None)
        if not isinstance(inside, nn.Module):
            return module
        module = inside


def unsupported(module: nn.Module) -> dict[type, str]:
    """Return the capabilities that a module does not support, each with the reason."""
    name = name_of(unwrapped(module))
    if any("quantized" in type(part).__module__.split(".") for part in module.modules()):
        return dict.fromkeys((Differentiable, Inspectable, Attentive, Rewirable), f"{name} {QUANTISED}")
    attends = called_attention(module.named_modules())
    lacks: dict[type, str] = {} if attends else {Attentive: no_attention(unwrapped(module))}
    if scripted(module):
        lacks[Rewirable] = f"{name} {SCRIPTED}"
    if isinstance(module, jit.ScriptModule):
        lacks |= dict.fromkeys((Inspectable, Attentive), f"{name} {SCRIPTED}")
    return lacks
