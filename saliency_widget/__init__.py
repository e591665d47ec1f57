"""The notebook widget: ``SaliencyWidget(model, img)`` shows which parts of a picture led to a prediction."""

try:
    from saliency import __version__, explain  # noqa: F401  # PAIR's package of that name has neither
except ImportError as error:
    raise ImportError(
        "The installed package `saliency` does not belong to this distribution: PAIR's package, which has the same "
        "folder, was probably installed over it. To repair it:\n"
        "    pip uninstall --yes saliency\n"
        "    pip install --force-reinstall --no-deps saliency-widget"
    ) from error

from saliency_widget.composition import Composition, compose
from saliency_widget.live import exchange
from saliency_widget.widget import SaliencyWidget

__all__ = ["Composition", "SaliencyWidget", "__version__", "compose", "exchange"]
