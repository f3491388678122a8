"""Where rows live: current state, history and what the pipeline knows about itself."""
