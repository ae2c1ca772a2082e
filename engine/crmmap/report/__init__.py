"""What people and programs are told: runs, plans and problems, as text, tables and JSON."""
