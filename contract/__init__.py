"""What coordinator and worker must agree on, bit for bit. Nothing else may enter."""
