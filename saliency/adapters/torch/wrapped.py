"""Wrappers around a torch module, and the capabilities that quantised and scripted modules do not support."""

from __future__ import annotations

from torch import jit, nn

from saliency.adapters.answers import called_attention, no_attention
from saliency.adapters.torch.rules import SCRIPTED, scripted
from saliency.adapters.torch.weights import unchangeable
from saliency.adapters.weights import QUANTISED as INTEGERS
from saliency.model.names import name_of
from saliency.model.protocols import Attentive, Differentiable, Inspectable, Reweightable, Rewirable

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
        refused: tuple[type, ...] = (Differentiable, Inspectable, Attentive, Rewirable)
        return dict.fromkeys(refused, f"{name} {QUANTISED}") | {Reweightable: f"{name} {INTEGERS}"}
    attends = called_attention(module.named_modules())
    lacks: dict[type, str] = {} if attends else {Attentive: no_attention(name)}
    if (why := unchangeable(module)) is not None:
        lacks[Reweightable] = f"{name} {why}"
    if scripted(module):
        lacks[Rewirable] = f"{name} {SCRIPTED}"
    if isinstance(module, jit.ScriptModule):
        lacks |= dict.fromkeys((Inspectable, Attentive), f"{name} {SCRIPTED}")
    return lacks
