"""The screens, one module each: they show what the app has, ask for what it lacks, and decide nothing."""
