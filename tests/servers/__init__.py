"""Where the tests' PostgreSQL comes from. Stands alone: it must not trust the code it helps to test."""
