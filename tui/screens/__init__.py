"""The pages of the cockpit, a module each: a scene in, lines of spans out. None of them knows Textual."""
