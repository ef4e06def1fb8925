"""What people look at: the dashboard's server, its notes and its plots."""
