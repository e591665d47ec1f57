"""The notebook face: ``SaliencyWidget(model, img)`` shows why a vision model decided."""

from saliency import __version__
from saliency_widget.widget import SaliencyWidget

__all__ = ["SaliencyWidget", "__version__"]
