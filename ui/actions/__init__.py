"""What a person can do, made of calls to the services; pages, REST and the command line share it."""
