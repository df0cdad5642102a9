"""What the job kinds of this service do."""
