"""The page on which everybody in the room sees the model grow. It reads the views of schema `watch`, no more."""
