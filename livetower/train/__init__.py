"""`livetower train`: an item tower from history, which a job can begin with."""
