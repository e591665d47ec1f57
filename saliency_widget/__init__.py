"""The notebook face: ``SaliencyWidget(model, img)`` shows why a vision model decided."""

try:
    from saliency import __version__, explain  # noqa: F401  # PAIR's package of that name has neither
except ImportError as error:
    raise ImportError(
        "The package `saliency` here is not this distribution's: PAIR's own, which has the same folder, was probably "
        "installed over it. To mend it:\n"
        "    pip uninstall --yes saliency\n"
        "    pip install --force-reinstall --no-deps saliency-widget"
    ) from error

from saliency_widget.widget import SaliencyWidget

__all__ = ["SaliencyWidget", "__version__"]
