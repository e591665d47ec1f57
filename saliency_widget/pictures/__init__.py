"""Maps and pictures as arrays, and their drawing without a browser."""
