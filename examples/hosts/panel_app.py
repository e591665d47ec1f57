import panel as pn

import saliency
from saliency_widget import SaliencyWidget

pn.extension("ipywidgets")

model = pn.state.as_cached("model", saliency.demo.model, name="imagenet")  # once for all visitors
widget = SaliencyWidget(model, saliency.demo.image("cat"))

shown = pn.pane.Str()
widget.observe(lambda change: setattr(shown, "object", f"Shown: {change.new}"), "method")

pn.Column(pn.pane.IPyWidget(widget), shown).servable()
