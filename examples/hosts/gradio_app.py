import gradio as gr

import saliency
from saliency_widget import SaliencyWidget, exchange

model = saliency.demo.model("imagenet")  # once for all visitors

PASS_ON = """
const frame = element.querySelector("iframe");
addEventListener("message", async ({ source, data }) => {
  if (source !== frame.contentWindow) return;
  if (data.saliencyHeight) frame.style.height = `${data.saliencyHeight}px`;
  if (data.saliency) source.postMessage({ saliency: await server.exchange(data.saliency) }, "*");
});
watch("page", () => frame.srcdoc = props.page);
"""


def start():
    """Make the widget of a visitor, and its page."""
    widget = SaliencyWidget(model, saliency.demo.image("cat"))
    return widget, gr.HTML(page=widget.live_html())


with gr.Blocks() as app:
    page = gr.HTML(
        html_template='<iframe style="width: 100%; height: 700px; border: 0"></iframe>',
        js_on_load=PASS_ON,
        server_functions=[exchange],
        page="",
    )
    widget = gr.State(delete_callback=lambda made: made and made.close())
    gr.Markdown(lambda made: made and f"Shown: {made.method}", inputs=widget, every=1)
    app.load(start, outputs=[widget, page])

app.launch()
