"""What the Makefile runs, and the real Airflow that the tests share with it."""
