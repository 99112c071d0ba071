"""One module for each benchmark; a module that is here is found."""
