"""Flax (linen and nnx) and Equinox models as functions of weights and images, with named modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from saliency.adapters.answers import called_attention, no_attention
from saliency.adapters.jax.compiled import name_in
from saliency.adapters.jax.model import JaxModel
from saliency.adapters.jax.trace import MARK
from saliency.errors import Unsupported
from saliency.model.names import name_of
from saliency.model.protocols import Attentive
from saliency.threads import lock, uninterrupted

INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "inference": True,
    "use_running_average": True,
}
"""Arguments that switch a module to training mode, and their values for inference."""

_PATCHING = lock()


def linen_model(module: Any, variables: Any = None, labels: Sequence[str] | None = None) -> JaxModel:
    """Return the adapter of a ``flax.linen.Module`` with variables, or of a ``TrainState``.

    Args:
        module: with `variables` as the second argument, or bound to them.
        variables: ``{"params": …, "batch_stats": …}``, or the parameters alone.
        labels: names of the classes.
    """
    key = module
    if hasattr(module, "apply_fn"):
        state, module = module, getattr(module.apply_fn, "__self__", None)
        if module is None:
            raise Unsupported("This TrainState's apply_fn is not a method of a flax module: pass (module, variables).")
        variables = {"params": state.params}
        if getattr(state, "batch_stats", None):
            variables["batch_stats"] = state.batch_stats
    elif variables is None:
        if getattr(module, "scope", None) is None:
            raise Unsupported(
                f"A flax.linen module holds no weights: pass ({type(module).__name__}(…), variables), "
                "or module.bind(variables)."
            )
        module, variables = module.unbind()
    if "params" not in variables:
        variables = {"params": variables}
    held = variables
    return JaxModel(key, labels, source=Linen(module.clone()), weights=lambda: held)


class Linen:
    """Calls a linen module."""

    channels_first = False

    def __init__(self, module: Any) -> None:
        self._module = module
        known = inspect.signature(type(module).__call__).parameters
        self._options = {name: value for name, value in INFERENCE.items() if name in known}
        options = ", ".join(f"{name}={value}" for name, value in self._options.items())
        self.notes: Sequence[str] = (f"the model is called with {options}",) if options else ()
        self.signature: Hashable = repr(module)

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`saliency.adapters.jax.compiled.Source`."""
        from flax import errors, linen

        def interceptor(proceed: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
            path = ".".join(context.module.path)
            if context.method_name != "__call__" or not path:
                return proceed(*args, **kwargs)
            with jax.named_scope(MARK + path):
                return proceed(*args, **kwargs)

        state = [name for name in weights if name != "params"]
        try:
            with linen.intercept_methods(interceptor):
                # writes to its state are discarded
                outputs = self._module.apply(weights, images, mutable=state or False, **self._options)
        except errors.InvalidRngError as error:
            raise Unsupported(
                f"Your {type(self._module).__name__} draws random numbers in its forward pass, but has no keys. Pass "
                "(lambda variables, x: module.apply(variables, x, rngs=…), variables), with your keys. "
                f"Original error: {error}"
            ) from error
        return outputs[0] if state else outputs

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`saliency.adapters.jax.compiled.Source`: the collection "params"."""
        first, *rest = path
        return name_in(rest) if name_in([first]) == "params" else None


def nnx_model(module: Any, labels: Sequence[str] | None = None) -> JaxModel:
    """Return the adapter of a ``flax.nnx.Module``; calls go to a copy in eval mode."""
    from flax import nnx

    variables = nnx.to_flat_state(nnx.state(module, nnx.Param))
    parameters = frozenset(".".join(map(str, path)) for path, _ in variables)
    source = Nnx(nnx.graphdef(module), parameters)
    made = JaxModel(module, labels, source=source, weights=lambda: nnx.state(module))
    parts = ((".".join(map(str, path)), part) for path, part in nnx.iter_modules(module))
    return _note_attention(made, parts, module)


def _note_attention(adapted: JaxModel, parts: Iterable[tuple[str, Any]], module: Any) -> JaxModel:
    """Record attention maps as unsupported if no module is named attention; return the adapted model."""
    if not called_attention(parts):
        adapted.lacks = {**adapted.lacks, Attentive: no_attention(name_of(module))}
    return adapted


class Nnx:
    """Calls an nnx module."""

    channels_first = False
    notes: Sequence[str] = ()

    def __init__(self, definition: Any, parameters: frozenset[str]) -> None:
        self.signature: Any = definition
        self._parameters = parameters

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`saliency.adapters.jax.compiled.Source`."""
        from flax import nnx

        # with its own variables: variables from outside the trace must not be written to
        module = nnx.merge(self.signature, jax.tree.map(lambda each: each, weights))
        module.eval()
        parts = {id(part): ".".join(map(str, path)) for path, part in nnx.iter_modules(module)}
        with marked(parts, (type(part) for _, part in nnx.iter_modules(module))):
            return module(images)

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`saliency.adapters.jax.compiled.Source`: variables of the type ``nnx.Param``."""
        name = name_in(path[:-1])  # the last key is the variable's value
        return name if name in self._parameters else None


def equinox_model(module: Any, state: Any = None, labels: Sequence[str] | None = None) -> JaxModel:
    """Return the adapter of an ``equinox.Module`` of one image (C, H, W).

    Args:
        module: it is called in inference mode.
        state: from ``equinox.nn.make_with_state``.
        labels: names of the classes.
    """
    import equinox

    def weights() -> Any:
        return equinox.partition((equinox.nn.inference_mode(module), state), equinox.is_array)[0]

    static = equinox.partition((equinox.nn.inference_mode(module), state), equinox.is_array)[1]
    made = JaxModel(module, labels, source=Equinox(static), weights=weights)
    return _note_attention(made, _parts(module, equinox.Module), module)


class Equinox:
    """Calls an Equinox module."""

    channels_first = True
    notes: Sequence[str] = ("Equinox model: called with one image at a time, (C, H, W), in inference mode",)
    signature: Hashable = None

    def __init__(self, static: Any) -> None:
        self._static = static

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`saliency.adapters.jax.compiled.Source`."""
        import equinox

        module, state = equinox.combine(weights, self._static)
        parts = dict(_parts(module, equinox.Module))
        first = jnp.moveaxis(images, -1, 1) if images.ndim == 4 else images
        required = [
            name
            for name, each in inspect.signature(type(module).__call__).parameters.items()
            if name == "key" and each.default is each.empty
        ]
        keys = dict.fromkeys(required)

        def one(image: Any) -> Any:
            return module(image, **keys) if state is None else module(image, state, **keys)[0]

        with marked({id(part): path for path, part in parts.items()}, (type(part) for part in parts.values())):
            return jax.vmap(one, axis_name="batch")(first)

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`saliency.adapters.jax.compiled.Source`: arrays of the module, not of its state."""
        first, *rest = path
        return name_in(rest) if name_in([first]) == "0" else None


def _parts(value: Any, kind: type, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, module) of every module inside a module, without itself."""
    if isinstance(value, kind):
        if path:
            yield path, value
        inside: Iterable[tuple[Any, Any]] = vars(value).items()
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, tuple | list):
        inside = enumerate(value)
    else:
        return
    for name, each in inside:
        yield from _parts(each, kind, f"{path}.{name}" if path else str(name))


@contextmanager
def marked(paths: Mapping[int, str], classes: Iterable[type]) -> Iterator[None]:
    """Make each call of a model's modules a named scope while the model is traced.

    The classes' ``__call__`` is replaced and restored; calls of other models' modules are not named.

    Args:
        paths: by the id of the module.
        classes: of the modules.
    """
    with _PATCHING, uninterrupted(), ExitStack() as stack:
        for each in set(classes):
            if callable(getattr(each, "__call__", None)):  # noqa: B004  # the class's own method is replaced
                stack.enter_context(_replaced(each, paths))
        yield


@contextmanager
def _replaced(cls: type, paths: Mapping[int, str]) -> Iterator[None]:
    missing = object()
    own, call = vars(cls).get("__call__", missing), cls.__call__

    def scoped(self: Any, *args: Any, **kwargs: Any) -> Any:
        path = paths.get(id(self))
        if not path:
            return call(self, *args, **kwargs)
        with jax.named_scope(MARK + path):
            return call(self, *args, **kwargs)

    type.__setattr__(cls, "__call__", scoped)
    try:
        yield
    finally:
        if own is missing:
            type.__delattr__(cls, "__call__")
        else:
            type.__setattr__(cls, "__call__", own)
