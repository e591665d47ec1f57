"""Versions of everything that a bug report needs: :func:`show_versions`."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

DISTRIBUTION = "saliency-widget"
FRAMEWORKS = (
    *("torch", "torchvision", "timm", "transformers"),
    *("tensorflow", "tensorflow-cpu", "tf-nightly", "keras"),
    *("jax", "jaxlib", "flax", "equinox"),
    *("onnx", "onnxruntime", "onnxruntime-gpu"),
)
NOTEBOOKS = ("ipython", "ipykernel", "jupyterlab", "notebook", "jupyter-server", "voila", "marimo", "google-colab")
PEERS = ("captum", "saliency")
"""Other implementations; the distribution `saliency` is PAIR's, which owns the same folder as this package."""

Rows = list[tuple[str, str]]


def show_versions() -> None:
    """Print the versions that a bug report needs: Python, system, packages, and devices of imported frameworks.

    No framework is imported: versions come from the metadata of installed packages, devices only from frameworks that
    the process has imported already. Paths, user and host names are left out.
    """
    print(report())  # noqa: T201 - printing is what the function is for, as in pandas and scikit-learn


def report() -> str:
    """Return the text that :func:`show_versions` prints."""
    sections = {
        "System": system(),
        "Required packages": [(name, _version(name) or "not installed") for name in _required()],
        "Frameworks": _installed(FRAMEWORKS),
        "Notebooks": _installed(NOTEBOOKS),
        "Other implementations": _installed(PEERS),
        "Devices of imported frameworks": devices(),
    }
    width = max(len(name) for rows in sections.values() for name, _ in rows)
    blocks = (
        "\n".join((title, *(f"  {name:<{width}}  {value}" for name, value in rows)))
        for title, rows in sections.items()
        if rows
    )
    return "\n\n".join(blocks)


def system() -> Rows:
    """Return the versions of this package, Python and the operating system."""
    package = sys.modules[__name__.partition(".")[0]]
    return [
        (DISTRIBUTION, package.__version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", platform.platform()),
    ]


def devices() -> Rows:
    """Return the devices of every framework that is imported, as the framework names them."""
    rows = []
    for name, listed in DEVICES.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        try:
            found = ", ".join(listed(module))
        except Exception as error:  # noqa: BLE001 - a broken driver is what the report is for, not a reason to end it
            found = f"{type(error).__name__}: {error}"
        rows.append((name, found))
    return rows


def _torch_devices(torch: ModuleType) -> Iterator[str]:
    yield "cpu"
    yield from (f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield "mps"


def _tensorflow_devices(tensorflow: ModuleType) -> Iterator[str]:
    return (device.name.removeprefix("/physical_device:") for device in tensorflow.config.list_physical_devices())


def _jax_devices(jax: ModuleType) -> Iterator[str]:
    return (f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices())


def _keras_backend(keras: ModuleType) -> Iterator[str]:
    yield f"backend {keras.config.backend()}"


def _onnx_providers(onnxruntime: ModuleType) -> Iterator[str]:
    yield from onnxruntime.get_available_providers()


DEVICES: dict[str, Callable[[ModuleType], Iterator[str]]] = {
    "torch": _torch_devices,
    "tensorflow": _tensorflow_devices,
    "jax": _jax_devices,
    "keras": _keras_backend,
    "onnxruntime": _onnx_providers,
}


def _required() -> list[str]:
    """Return the names of the packages that this one requires, without its extras; none where it is not installed."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in requirements if "extra ==" not in each]


def _installed(names: tuple[str, ...]) -> Rows:
    """Return those of the packages that are installed, with their versions."""
    return [(name, version) for name in names if (version := _version(name))]


def _version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
