"""What a volunteer with psql may try, and the means to see that nothing came of it."""
