"""OpenAI's fine-tuning under `/v1`: files are dataset versions, jobs are training jobs, and nothing is kept beside."""
