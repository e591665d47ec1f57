import streamlit as st

import saliency
from saliency_widget import SaliencyWidget, exchange

PASS_ON = """
export default ({ parentElement, data, setTriggerValue }) => {
  const frame = parentElement.querySelector("iframe");
  if (data.answer) frame.contentWindow.postMessage({ saliency: data.answer }, "*");
  if (data.page && !frame.srcdoc) frame.srcdoc = data.page;
  if (frame.dataset.started) return;
  frame.dataset.started = true;
  addEventListener("message", ({ source, data }) => {
    if (source !== frame.contentWindow) return;
    if (data.saliencyHeight) frame.style.height = `${data.saliencyHeight}px`;
    if (data.saliency) setTriggerValue("text", data.saliency);
  });
  setTriggerValue("text", "start");
}
"""
show = st.components.v2.component(
    "saliency", html='<iframe style="width: 100%; height: 700px; border: 0"></iframe>', js=PASS_ON
)


@st.cache_resource
def model():
    """Load the network, once for all visitors."""
    return saliency.demo.model("imagenet")


@st.cache_resource(scope="session", on_release=SaliencyWidget.close)
def widget():
    """Make the widget of a visitor."""
    return SaliencyWidget(model(), saliency.demo.image("cat"))


def pass_on():
    """Pass a text of the page to the widget, and the answer back; the first text requests the page."""
    text = st.session_state.page.text
    st.session_state.data = {"page": widget().live_html()} if text == "start" else {"answer": exchange(text)}


@st.fragment
def saliency_widget():
    """Show the widget."""
    show(key="page", data=st.session_state.get("data", {}), on_text_change=pass_on)
    st.text(f"Shown: {widget().method}")


st.set_page_config(layout="wide")
saliency_widget()
