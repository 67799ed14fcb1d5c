"""The job: settings, topics, SQL tables, topology and main. Start reading at recommend_job.py."""
