"""Whether xformers can go: flags held back, files still bound to it, requirements, the torch that is needed."""
