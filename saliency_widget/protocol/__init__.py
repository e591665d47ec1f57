"""What crosses between kernel and browser: values, cells, requests and messages."""
