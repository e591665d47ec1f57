"""What an explanation found, and tables that print."""
