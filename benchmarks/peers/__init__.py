"""The libraries we measure against. They live in an environment and a process of their own: their requirements and ours
cannot be met together (rich, packaging, protobuf), and their memory is not to be taken for ours."""
