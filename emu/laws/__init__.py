"""One file a law; each reads entries only and shares no code with what it judges."""
