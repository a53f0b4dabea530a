"""Reading infrared images of 8 to 16 bits within limits."""
