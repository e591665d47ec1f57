"""The protocol between kernel and browser: values, cells, requests and messages."""
