"""What people use today, behind the interface that lab/cases.py asks of a system under test."""
