"""One typed function per statement the coordinator issues. Nothing here imports torch."""
