"""Real kernels, and no browser: the installed ipykernel, and older ones that notebooks still run on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.widget.front_end import PATIENCE

SETUP = """
import threading, time
import numpy as np, saliency
from saliency_widget import SaliencyWidget

go = threading.Event()

def model(images):
    go.wait(60)
    time.sleep(0.03)
    return images.mean((1, 2))

def until(condition):
    began = time.monotonic()
    while not condition() and time.monotonic() - began < 60:
        time.sleep(0.005)
    print(bool(condition()))

img = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
w = SaliencyWidget(model, img, [saliency.Occlusion(size=8, stride=4)], target=0, batch_size=4)
print(w.model_id)
w
"""


class Kernel:
    """A kernel's client that stores every message."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.heard: list[dict[str, Any]] = []

    def start(self, code: str) -> str:
        """Start a cell and return its id."""
        return str(self.client.execute(code))

    def request(self, comm: str, subshell: str | None = None, **content: Any) -> None:
        """Send a request to a widget, as a page does."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    @property
    def features(self) -> list[str]:
        """Return the features that the kernel reports."""
        features: list[str] = self.client.kernel_info(reply=True, timeout=PATIENCE)["content"].get(
            "supported_features", []
        )
        return features

    def until_idle(self, cell: str) -> list[dict[str, Any]]:
        """Return the messages until a cell has ended."""
        return self.until(
            lambda m: (
                m["parent_header"].get("msg_id") == cell
                and m["header"]["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"
            )
        )

    def until(self, wanted: Any) -> list[dict[str, Any]]:
        """Return the messages until the wanted one."""
        heard: list[dict[str, Any]] = []
        while not heard or not wanted(heard[-1]):
            heard.append(self.client.get_iopub_msg(timeout=PATIENCE))
        self.heard += heard
        return heard


def ops(heard: list[dict[str, Any]]) -> list[str]:
    """Return the widget messages among some messages."""
    data = [m["content"]["data"] for m in heard if m["header"]["msg_type"] == "comm_msg"]
    return [each["content"]["op"] for each in data if each["method"] == "custom"]


def is_op(op: str) -> Any:
    """Return whether a message is a widget message of the given op."""
    return lambda m: op in ops([m])


def printed(heard: list[dict[str, Any]]) -> str:
    """Return what a cell printed; raise its error."""
    errors = [m["content"]["traceback"] for m in heard if m["header"]["msg_type"] == "error"]
    assert not errors, "\n".join(errors[0])
    return "".join(m["content"]["text"] for m in heard if m["header"]["msg_type"] == "stream").strip()


OLDER = Path(sys.prefix) / "kernels"
"""Where `make test` puts older ipykernels, each in a folder of its own."""

WITH_SUBSHELLS = ("installed", "7.3.0")
WITHOUT_SUBSHELLS = ("6.29.5",)


@pytest.fixture(params=[*WITH_SUBSHELLS, *WITHOUT_SUBSHELLS])
def kernel(request: pytest.FixtureRequest, checkout: Path, tmp_path: Path) -> Iterator[Kernel]:
    """Provide a kernel of this Python, with a given version of ipykernel."""
    paths = [str(checkout)]
    if request.param != "installed":
        older = OLDER / request.param
        assert older.is_dir(), f"ipykernel {request.param} is not in {OLDER}: `make test` puts it there"
        paths.insert(0, str(older))
    manager = KernelManager(
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport="ipc", ip=str(tmp_path / "kernel")
    )
    manager.start_kernel(
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(tmp_path)}, cwd=str(tmp_path)
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_the_kernel_is_the_one_meant(kernel: Kernel, request: pytest.FixtureRequest) -> None:
    """The matrix has three different ipykernels, and each test runs the one it names."""
    version = printed(kernel.until_idle(kernel.start("import ipykernel; print(ipykernel.__version__)")))

    wanted = request.node.callspec.params["kernel"]
    assert version == wanted if wanted != "installed" else version not in {*WITH_SUBSHELLS, *WITHOUT_SUBSHELLS}


def test_answers_arrive_while_a_cell_is_busy(kernel: Kernel) -> None:
    """After a request before a long cell, progress and result arrive during it; the output has a picture too."""
    shown = kernel.until_idle(kernel.start(SETUP))
    comm = printed(shown)
    (output,) = (m["content"]["data"] for m in shown if m["header"]["msg_type"] == "execute_result")
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/html"} <= set(output)
    kernel.request(comm, op="hello", rid="1")
    kernel.request(comm, op="compute", rid="2", method="occlusion", target=0)
    kernel.until(is_op("accepted"))
    kernel.until(is_op("accepted"))

    busy = kernel.until_idle(kernel.start("go.set(); until(lambda: w.explanations)"))

    assert printed(busy) == "True"
    heard = ops(kernel.heard)
    assert heard[:2] == ["accepted", "welcome"]
    assert {"prediction", "progress", "partial", "result"} <= set(heard)
    assert "result" in ops(busy)


@pytest.mark.parametrize("kernel", WITH_SUBSHELLS, indirect=True)
def test_requests_are_heard_while_a_cell_is_busy(kernel: Kernel) -> None:
    """On a kernel with subshells, a request during a long cell is answered during it."""
    assert "kernel subshells" in kernel.features
    comm = printed(kernel.until_idle(kernel.start(SETUP)))
    kernel.client.control_channel.send(kernel.client.session.msg("create_subshell_request"))
    subshell = kernel.client.control_channel.get_msg(timeout=PATIENCE)["content"]["subshell_id"]
    # ipykernel >= 7.4 sends a page's messages to the shell that last spoke: the answer to hello makes it the subshell
    kernel.request(comm, subshell, op="hello", rid="0")
    kernel.until(is_op("welcome"))
    busy = kernel.start("go.set(); until(lambda: w.explanations)")
    kernel.until(lambda m: m["header"]["msg_type"] == "execute_input")

    kernel.request(comm, subshell, op="compute", rid="1", method="occlusion", target=0)

    heard = kernel.until_idle(busy)
    assert printed(heard) == "True"
    assert ops(heard)[0] == "accepted"
    # the cell ends when the result is there, which may be before its message is sent
    assert "result" in ops(heard) or kernel.until(is_op("result"))


@pytest.mark.parametrize("kernel", WITHOUT_SUBSHELLS, indirect=True)
def test_requests_wait_for_the_cell_without_subshells(kernel: Kernel) -> None:
    """On a kernel without subshells, a request during a cell is answered after it; nothing is lost."""
    assert "kernel subshells" not in kernel.features
    comm = printed(kernel.until_idle(kernel.start(SETUP)))
    busy = kernel.start("go.set(); time.sleep(0.5)")
    kernel.until(lambda m: m["header"]["msg_type"] == "execute_input")

    kernel.request(comm, op="hello", rid="0")
    kernel.request(comm, op="compute", rid="1", method="occlusion", target=0)

    assert ops(kernel.until_idle(busy)) == []
    heard = ops(kernel.until(is_op("result")))
    assert [op for op in heard if op == "accepted"] == ["accepted", "accepted"]


def test_a_script_in_a_kernel_can_wait(kernel: Kernel) -> None:
    """compute(wait=True) in a cell returns the explanation while messages are sent; the kernel exits without delay."""
    printed(kernel.until_idle(kernel.start(SETUP)))

    heard = kernel.until_idle(kernel.start("go.set(); print(w.compute(wait=True).mask.shape, w.wait(60))"))

    assert printed(heard) == "(32, 32) True"
    assert "result" in ops(heard)
