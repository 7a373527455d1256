"""Scheduled retraining: DAG files for Airflow, of which nothing is imported, and the commands that their tasks call."""
