"""What a mapping may say: families of named choices, one file each, a table at the foot."""
