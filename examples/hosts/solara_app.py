import solara

import saliency
from saliency_widget import SaliencyWidget

model = saliency.demo.model("imagenet")  # once for all visitors


@solara.component
def Page():
    """Show the widget, and the method that it shows."""
    widget = solara.use_memo(lambda: SaliencyWidget(model, saliency.demo.image("cat")), [])
    shown = solara.use_reactive(widget.method)
    solara.use_effect(lambda: widget.observe(lambda change: shown.set(change.new), "method"), [])

    solara.display(widget)
    solara.Text(f"Shown: {shown.value}")
